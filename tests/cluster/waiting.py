"""Waits for what a control plane does by itself."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def until(condition: Callable[[], Value | None], what: str, within_s: float = 60.0) -> Value:
    """Return the first truthy value of `condition`. Raises AssertionError when none came in time."""
    deadline = time.monotonic() + within_s
    while True:
        if value := condition():
            return value
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}; last was {value!r}"
        time.sleep(0.1)
