"""Runs each import in a process of its own, so that calls stay answered and its memory is given back."""

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from visiontune_data.ingest import Options, Outcome, Progress
from visiontune_data.shards import Shard
from visiontune_kit import errors

from visiontune_dataset.adapters import export_child, import_child, rewrite_child
from visiontune_dataset.adapters.import_child import Died, SourceLost, Task
from visiontune_dataset.ports import ImportFile, ReadableShard

# A fork would take gRPC's threads along; a spawn would spend a second on imports each time. The fork server
# has only imported what an import runs.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([import_child.__name__, rewrite_child.__name__, export_child.__name__])


class ImporterDied(RuntimeError):  # noqa: N818 (named for what happened)
    """The process of an import ended without an outcome. The import can be begun anew."""


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

    Ends the process in any case. Raises ImporterDied, SourceUnavailable.
    """
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    child = _CONTEXT.Process(target=target, args=(theirs, task), name="import")
    starting = asyncio.ensure_future(asyncio.to_thread(child.start))
    try:
        await asyncio.shield(starting)
        theirs.close()
        while True:
            match await asyncio.to_thread(_receive, ours):
                case SourceLost(reason):
                    raise SourceUnavailable(reason)
                case Died(reason):
                    raise ImporterDied(reason)
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


class ProcessImporter:
    """Implements `ports.Importer`. `image_hosts` are those that images may be fetched from."""

    def __init__(self, image_hosts: Sequence[str] = ()) -> None:
        self._image_hosts = tuple(image_hosts)

    async def run(
        self,
        files: Sequence[ImportFile],
        scratch: Path,
        options: Options,
        *,
        earlier: Sequence[ReadableShard] = (),
        progress: Callable[[Progress], Awaitable[None]],
        finished: Callable[[Shard], Awaitable[None]],
    ) -> Outcome:
        """Starts the process and passes on what it tells."""
        task = Task(tuple(files), scratch, options, self._image_hosts, tuple(earlier))
        outcome: Outcome = await converse(import_child.run, task, {Progress: progress, Shard: finished})
        return outcome


def _receive(connection: Connection) -> Any:
    try:
        return connection.recv()
    except (EOFError, OSError) as error:
        raise ImporterDied("the process of the import was killed") from error
