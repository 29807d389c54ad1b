"""Slow work that callers may give up waiting for, and ask for again."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

_REMEMBERED = 256


class SharedWork:
    """Runs `work(key)` once for all who ask for that key, also when the first asker has gone.

    Reading a large object may take longer than a caller's deadline: the next call joins what runs, or finds
    the result. A failure is not remembered. Only for results that never change.
    """

    def __init__(self, work: Callable[[str], Awaitable[str]]) -> None:
        self._work = work
        self._tasks: OrderedDict[str, asyncio.Task[str]] = OrderedDict()

    async def of(self, key: str) -> str:
        """Returns the result for `key`."""
        task = self._tasks.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._tasks[key] = asyncio.create_task(self._run(key))
            self._forget_oldest()
        return await asyncio.shield(task)

    async def _run(self, key: str) -> str:
        return await self._work(key)

    def _forget_oldest(self) -> None:
        ended = [key for key, task in self._tasks.items() if task.done()]
        for key in ended[: max(0, len(self._tasks) - _REMEMBERED)]:
            del self._tasks[key]
