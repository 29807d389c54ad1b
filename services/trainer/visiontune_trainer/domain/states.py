"""Where a job can stand, and which changes are possible."""

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """State of a job; values as in trainer.proto without the prefix."""

    QUEUED = "QUEUED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    RETRYING = "RETRYING"
    PAUSED = "PAUSED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


ALLOWED: Mapping[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.STARTING, State.PAUSED, State.FAILED, State.CANCELLED}),
    State.STARTING: frozenset({State.RUNNING, State.RETRYING, State.PAUSED, State.FAILED, State.CANCELLED}),
    State.RUNNING: frozenset({State.RETRYING, State.PAUSED, State.SUCCEEDED, State.FAILED, State.CANCELLED}),
    State.RETRYING: frozenset({State.STARTING, State.PAUSED, State.FAILED, State.CANCELLED}),
    State.PAUSED: frozenset({State.QUEUED, State.CANCELLED}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}
FINAL = frozenset(state for state, following in ALLOWED.items() if not following)
WITH_WORKER = frozenset({State.STARTING, State.RUNNING})
# Nothing is to be done about them until a user asks.
AT_REST = FINAL | {State.PAUSED}
