"""Runs each import in a process of its own, so that calls stay answered and its memory is given back."""

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path

from visiontune_data.ingest import Options, Outcome, Progress
from visiontune_data.shards import Shard
from visiontune_kit import errors

from visiontune_dataset.adapters import import_child
from visiontune_dataset.adapters.import_child import Died, Message, SourceLost, Task

# A fork would take gRPC's threads along; a spawn would spend a second on imports each time. The fork server
# has only imported what an import runs.
_CONTEXT = multiprocessing.get_context("forkserver")


class ImporterDied(RuntimeError):  # noqa: N818 (named for what happened)
    """The process of an import ended without an outcome. The import can be begun anew."""


class SourceUnavailable(errors.Unavailable):
    """The archive cannot be read from the object store."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The archive cannot be read: {reason}.")


class ProcessImporter:
    """Implements `ports.Importer`."""

    def __init__(self) -> None:
        _CONTEXT.set_forkserver_preload([import_child.__name__])

    async def run(
        self,
        url: str,
        size_bytes: int,
        archive_name: str,
        scratch: Path,
        options: Options,
        *,
        progress: Callable[[Progress], Awaitable[None]],
        finished: Callable[[Shard], Awaitable[None]],
    ) -> Outcome:
        """Starts the process, passes on what it tells, and ends it in any case."""
        ours, theirs = _CONTEXT.Pipe(duplex=False)
        task = Task(url, size_bytes, archive_name, scratch, options)
        child = _CONTEXT.Process(target=import_child.run, args=(theirs, task), name="import")
        starting = asyncio.ensure_future(asyncio.to_thread(child.start))
        try:
            await asyncio.shield(starting)
            theirs.close()
            while True:
                match await asyncio.to_thread(_receive, ours):
                    case Progress() as seen:
                        await progress(seen)
                    case Shard() as shard:
                        await finished(shard)
                    case Outcome() as outcome:
                        return outcome
                    case SourceLost(reason):
                        raise SourceUnavailable(reason)
                    case Died(reason):
                        raise ImporterDied(reason)
        finally:
            await asyncio.wait({starting})  # a process that is half started cannot be killed yet
            child.kill()  # harmless when it has ended; its own children end with it
            theirs.close()  # or else the thread that receives would wait for ever
            await asyncio.to_thread(child.join)
            ours.close()


def _receive(connection: Connection) -> Message:
    try:
        message: Message = connection.recv()
    except (EOFError, OSError) as error:
        raise ImporterDied("the process of the import was killed") from error
    return message
