"""Waits for what becomes true by itself."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any


async def eventually(condition: Callable[[], Any], *, within_s: float = 10.0, every_s: float = 0.02) -> Any:
    """Returns the first truthy value of `condition`, which may be async.

    Raises AssertionError when none came in time.
    """
    last: object = None
    for _ in range(int(within_s / every_s)):
        found = condition()
        value = await found if inspect.isawaitable(found) else found
        if value:
            return value
        last = value
        await asyncio.sleep(every_s)
    raise AssertionError(f"not within {within_s:g} s; last was {last!r}")
