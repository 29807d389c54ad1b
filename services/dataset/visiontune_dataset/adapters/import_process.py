"""Imports archives, each in a process of its own."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from visiontune_data.ingest import Options, Outcome, Progress
from visiontune_data.shards import Shard

from visiontune_dataset.adapters import import_child
from visiontune_dataset.adapters.child_process import converse
from visiontune_dataset.ports import NOTHING, ImportFile, ReadableBase, ReadableShard


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
        uploaded: Mapping[str, str] = NOTHING,
        base: ReadableBase | None = None,
        progress: Callable[[Progress], Awaitable[None]],
        finished: Callable[[Shard], Awaitable[None]],
    ) -> Outcome:
        """Starts the process and passes on what it tells."""
        task = import_child.Task(
            tuple(files), scratch, options, self._image_hosts, tuple(earlier), dict(uploaded), base
        )
        outcome: Outcome = await converse(import_child.run, task, {Progress: progress, Shard: finished})
        return outcome
