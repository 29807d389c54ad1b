"""Reason codes of events and states. docs/errors.md has a heading for each."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a job changed. A worker may send codes of its own with FinishAttempt."""

    QUEUED = "QUEUED"  # the job was accepted
    ATTEMPT_LAUNCHED = "ATTEMPT_LAUNCHED"  # a worker was asked for
    WAITING = "WAITING"  # the worker has not started; the message says why
    ATTEMPT_STARTED = "ATTEMPT_STARTED"  # the worker claimed the attempt
    CHECKPOINT_SAVED = "CHECKPOINT_SAVED"  # a checkpoint is complete
    LOG_NOT_KEPT = "LOG_NOT_KEPT"  # storage does not take the log of an attempt
    SUCCEEDED = "SUCCEEDED"  # the artifacts are there
    CANCEL_REQUESTED = "CANCEL_REQUESTED"  # a user asked to stop
    CANCELLED = "CANCELLED"  # it has stopped
    PAUSE_REQUESTED = "PAUSE_REQUESTED"  # a user asked to pause
    PAUSED = "PAUSED"  # no worker is left; the newest checkpoint waits
    RESUMED = "RESUMED"  # a user asked to go on
    HEARTBEAT_LOST = "HEARTBEAT_LOST"  # the worker lives, but says nothing
    START_TIMEOUT = "START_TIMEOUT"  # the worker never claimed its attempt
    WORKER_LOST = "WORKER_LOST"  # no trace of the worker is left
    WORKER_EXITED = "WORKER_EXITED"  # the worker ended without saying why
    WORKER_KILLED = "WORKER_KILLED"  # a signal ended the worker, often for lack of memory
    PREEMPTED = "PREEMPTED"  # the worker was asked to leave
    LAUNCH_REFUSED = "LAUNCH_REFUSED"  # the backend will not start this worker
    CONFIGURATION_ERROR = "CONFIGURATION_ERROR"  # exit code 64
    DATA_ERROR = "DATA_ERROR"  # exit code 65
    ENVIRONMENT_ERROR = "ENVIRONMENT_ERROR"  # exit code 78
    ATTEMPTS_EXHAUSTED = "ATTEMPTS_EXHAUSTED"  # the last attempt allowed was lost
    DURATION_EXCEEDED = "DURATION_EXCEEDED"  # resources.max_duration has passed
    FAILED = "FAILED"  # the worker failed and gave no code
