"""A program of ours that answers over a Unix socket: a child, started by the first call that needs it.

It does what a server should not: load what is large, or decode what users bring.
"""

import asyncio
import os
import shutil
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc

from visiontune_kit import channels, errors, logs

_TRIES = 2
_ENDS_WITHIN_S = 5.0
_NOTICED_WITHIN_S = 1.0
# Of our variables, which may be secrets, it gets none but its own.
_PRIVATE = ("VISIONTUNE_", "AWS_", "PG")

log = logs.get(__name__)
T = TypeVar("T")


class HelperFailed(errors.Unavailable):
    """The program that a call needs ended while it was at work, or took too long and was ended."""

    def __init__(self, what: str) -> None:
        super().__init__(f"The program that does this {what}. Try again, with less at a time.")


class HelperBusy(errors.ResourceExhausted):
    """Too many calls wait for the program already."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} calls wait for the program that does this. Try again in a moment.")


@dataclass(frozen=True)
class _Child:
    process: Process
    folder: Path
    channel: grpc.aio.Channel


class _Ended(Exception):  # noqa: N818 (named for what happened)
    """The child ended before it had answered."""


class Helper:
    """The child, which ends when it is idle for long, or with us. Whatever ends it, a call starts another.

    socket_variable: tells it where to listen. environment: what else it is told. most_waiting: calls at a
    time, one of which it is asked. timeout_s: it is killed when a call takes longer.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        socket_variable: str,
        timeout_s: float,
        most_waiting: int = 8,
    ) -> None:
        self._command, self._environment = tuple(command), dict(environment)
        self._socket_variable = socket_variable
        self._timeout_s, self._most_waiting = timeout_s, most_waiting
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0
        self._child: _Child | None = None

    async def ask(self, call: Callable[[grpc.aio.Channel], Awaitable[T]]) -> T:
        """What `call` gets, which has to wait until the channel is ready. Raises HelperFailed, HelperBusy."""
        if self._waiting >= self._most_waiting:
            raise HelperBusy(self._waiting)
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                return await self._ask(call)
        finally:
            self._waiting -= 1

    async def end_at_shutdown(self) -> None:
        """Waits to be cancelled, and ends the child then."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self._drop()

    async def _ask(self, call: Callable[[grpc.aio.Channel], Awaitable[T]]) -> T:
        exit_code = 0
        for _ in range(_TRIES):
            child = await self._running()
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await _answer(child, call)
            except TimeoutError:
                child.process.kill()
                log.warning("helper_killed", pid=child.process.pid, timeout_s=self._timeout_s)
                raise HelperFailed(f"took longer than {self._timeout_s:g} s") from None
            except _Ended:
                exit_code = await child.process.wait()
                log.warning("helper_ended", pid=child.process.pid, exit_code=exit_code)
        raise HelperFailed(f"ended while it was at work (exit code {exit_code})")

    async def _running(self) -> _Child:
        """The child, or another one where it has ended."""
        if self._child is not None and self._child.process.returncode is None:
            return self._child
        await self._drop()
        folder = Path(tempfile.mkdtemp(prefix="visiontune-"))  # nobody else may enter it
        socket = folder / "socket"
        others = {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE)}
        own = {**self._environment, self._socket_variable: str(socket)}
        process = await asyncio.create_subprocess_exec(
            *self._command, env={**others, **own}, cwd=folder, stdin=PIPE, stdout=DEVNULL
        )
        self._child = _Child(process, folder, channels.connect(f"unix:{socket}"))
        log.info("helper_started", pid=process.pid)
        return self._child

    async def _drop(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        await child.channel.close(None)
        if child.process.stdin is not None:
            child.process.stdin.close()
        try:
            async with asyncio.timeout(_ENDS_WITHIN_S):
                await child.process.wait()
        except TimeoutError:
            child.process.kill()
            await child.process.wait()
        shutil.rmtree(child.folder, ignore_errors=True)


async def _answer(child: _Child, call: Callable[[grpc.aio.Channel], Awaitable[T]]) -> T:
    """Raises _Ended when the child ends first; one that is starting is waited for."""
    asked = asyncio.ensure_future(call(child.channel))
    ended = asyncio.ensure_future(child.process.wait())
    try:
        await asyncio.wait({asked, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not asked.done():
            raise _Ended
        try:
            return await asked
        except errors.Unavailable:
            # The connection may break a moment before the process is seen to have ended.
            await asyncio.wait({ended}, timeout=_NOTICED_WITHIN_S)
            if ended.done():
                raise _Ended from None
            raise
    finally:
        asked.cancel()
        ended.cancel()
