"""The running call's deadline, for the calls that it makes itself."""

import time
from contextvars import ContextVar

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def enter(seconds: float) -> None:
    """Notes that the running call ends in `seconds`."""
    _deadline.set(time.monotonic() + seconds)


def remaining_s() -> float | None:
    """Seconds until the running call's deadline; None outside a call or without one."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.monotonic()
