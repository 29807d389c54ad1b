"""What a call can fail with, free of grpc. `status` alone maps it to google.rpc.Status.

    Failure
    ├── InvalidArgument       the request itself is wrong
    ├── FailedPrecondition    right request, wrong state
    ├── OutOfRange            a cursor or position that is gone
    ├── Unauthenticated       no identity, or one that is not believed
    ├── PermissionDenied      believed, but not allowed
    ├── NotFound              absent, or another project's
    ├── AlreadyExists         the name is taken
    ├── Aborted               lost a race; read again and retry
    ├── ResourceExhausted     a limit
    ├── Cancelled             the caller or a user stopped it
    ├── DataLoss              bytes are not what they were said to be
    ├── Unimplemented         not offered here
    ├── DeadlineExceeded      out of time
    ├── Unavailable           passing; retry with backoff
    └── Internal              our fault

A subclass's own class name is its reason, unless it was rebuilt from a remote answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """One field of a request that breaks a rule."""

    field: str  # path from the request, for example `upload.sha256`
    description: str  # what is wrong and what to do
    reason: str = ""  # name of the rule


class Failure(Exception):  # noqa: N818 - the tree reads better without Error on every leaf
    """Base of everything that a call can fail with."""

    def __init__(
        self,
        message: str,
        *,
        violations: Sequence[Violation] = (),
        metadata: Mapping[str, str] | None = None,
        resource: str = "",
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.violations = tuple(violations)
        self.metadata = dict(metadata or {})
        self.resource = resource  # name of the resource that it is about; empty when none
        self.reason = reason or type(self).__name__


class InvalidArgument(Failure):
    """The request itself is wrong, whatever the state."""


class FailedPrecondition(Failure):
    """The state forbids it; retrying alone does not help."""


class OutOfRange(Failure):
    """A cursor or position that no longer exists."""


class Unauthenticated(Failure):
    """No identity, or one that is not believed."""


class PermissionDenied(Failure):
    """The identity is believed and may not do this."""


class NotFound(Failure):
    """Absent, or another project's."""


class AlreadyExists(Failure):
    """The name is taken."""


class Aborted(Failure):
    """Lost a race: read again and retry."""


class ResourceExhausted(Failure):
    """A limit would be exceeded."""


class Cancelled(Failure):
    """Stopped on request."""


class DataLoss(Failure):
    """Bytes are not what they were said to be."""


class Unimplemented(Failure):
    """Not offered here."""


class DeadlineExceeded(Failure):
    """The deadline passed first."""


class Unavailable(Failure):
    """A passing condition: retry with backoff."""


class Internal(Failure):
    """Our fault."""
