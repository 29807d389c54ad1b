"""Runs work in a process of its own, so that calls stay answered and its memory is given back."""

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from visiontune_kit import errors

from visiontune_dataset.adapters import export_child, import_child, rewrite_child
from visiontune_dataset.adapters.child import Died, SourceLost

# A fork would take gRPC's threads along; a spawn would spend a second on imports each time. The fork server
# has only imported what they run.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        *(child.__name__ for child in (import_child, rewrite_child, export_child)),
        "visiontune_dataset.adapters.arrow_ready",
    ]
)


class ChildDied(RuntimeError):  # noqa: N818 (named for what happened)
    """It ended without an outcome. Its work can be begun anew."""


class SourceUnavailable(errors.Unavailable):
    """The archive cannot be read from the object store."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The archive cannot be read: {reason}.")


async def converse(
    target: Callable[[Connection, Any], None],
    task: Any,
    hear: Mapping[type, Callable[[Any], Awaitable[None]]],
) -> Any:
    """Runs `target` in a process; gives its messages to `hear`, by type, and returns the first other one.

    Ends the process in any case. Raises ChildDied, SourceUnavailable.
    """
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    child = _CONTEXT.Process(target=target, args=(theirs, task), name=target.__module__)
    starting = asyncio.ensure_future(asyncio.to_thread(child.start))
    try:
        await asyncio.shield(starting)
        theirs.close()
        while True:
            match await asyncio.to_thread(_receive, ours):
                case SourceLost(reason):
                    raise SourceUnavailable(reason)
                case Died(reason):
                    raise ChildDied(reason)
                case message if type(message) in hear:
                    await hear[type(message)](message)
                case outcome:
                    return outcome
    finally:
        await asyncio.wait({starting})  # a process that is half started cannot be killed yet
        child.kill()  # harmless when it has ended; its own children end with it
        theirs.close()  # or else the thread that receives would wait for ever
        await asyncio.to_thread(child.join)
        ours.close()


def _receive(connection: Connection) -> Any:
    try:
        return connection.recv()
    except (EOFError, OSError) as error:
        raise ChildDied("the process was killed") from error
