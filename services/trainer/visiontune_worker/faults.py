"""What can end an attempt before its time, and what the process and the trainer are told about it.

Ending
├── Fault                something is wrong; FinishAttempt carries reason and message
│   ├── ConfigurationFault  64  the spec asks for something that cannot be done
│   ├── DataFault           65  the dataset cannot be trained on
│   ├── PassingFault        75  another attempt may succeed
│   └── EnvironmentFault    78  this machine or this installation lacks something
└── Order                somebody said stop
    ├── Cancelled           0   a user did
    ├── Paused              0   a user did, for a while; what is saved counts
    ├── Preempted           75  the machine did (SIGTERM)
    └── Stale               76  another attempt has taken over: touch nothing
"""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the worker; where one exists, the number that sysexits.h gives."""

    DONE = 0
    CONFIGURATION = 64
    DATA = 65
    RETRY = 75
    STALE = 76
    ENVIRONMENT = 78


class Ending(Exception):  # noqa: N818 - not every ending is an error
    """The attempt ends here."""

    exit_code: Exit = Exit.DONE


class Fault(Ending):
    """Something is wrong. `reason` is a code in capitals, the message says what to do."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class ConfigurationFault(Fault):
    """The spec asks for something that cannot be done."""

    exit_code = Exit.CONFIGURATION


class DataFault(Fault):
    """The dataset cannot be trained on; the message names the example."""

    exit_code = Exit.DATA


class EnvironmentFault(Fault):
    """Something is lacking on the machine or in the installation."""

    exit_code = Exit.ENVIRONMENT


class PassingFault(Fault):
    """It failed for a passing reason; another attempt may succeed."""

    exit_code = Exit.RETRY


class Order(Ending):
    """Somebody said stop."""


class Cancelled(Order):
    """A user cancelled the job."""


class Paused(Order):
    """A user paused the job; what is saved counts."""


class Preempted(Order):
    """The machine wants to be rid of us; what is saved counts."""

    exit_code = Exit.RETRY


class Stale(Order):
    """Another attempt has taken over, or the job is gone: touch nothing."""

    exit_code = Exit.STALE
