"""The process of one export: reads shards by ranges, runs visiontune_data.export, tells its parent."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import pyarrow.parquet as pq
from visiontune_data.export import Archive, CannotExport, ExportedExample, ExportSummary, export

from visiontune_dataset.adapters.child import tell
from visiontune_dataset.adapters.http_file import HttpFile, client
from visiontune_dataset.ports import ReadableShard

_TELL_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Task:
    """What to write where."""

    shards: tuple[ReadableShard, ...]
    format_name: str
    archive: Archive
    file: Path


@dataclass(frozen=True, slots=True)
class Written:
    """Examples written so far."""

    count: int


@dataclass(frozen=True, slots=True)
class Unfit:
    """The format has no place for an example."""

    reason: str


def run(connection: Connection, task: Task) -> None:
    """Exports; messages are Written, the last one is an ExportSummary, Unfit, SourceLost or Died."""
    tell(connection, lambda: _export(connection, task))


def _export(connection: Connection, task: Task) -> ExportSummary | Unfit:
    with client() as http, task.file.open("wb") as out:
        examples = _examples(task, http, connection)
        try:
            return export(examples, task.format_name, out, archive=task.archive)
        except CannotExport as error:
            return Unfit(str(error))


def _examples(task: Task, http: httpx.Client, connection: Connection) -> Iterator[ExportedExample]:
    """All examples, a row group in memory at a time."""
    count, told_at = 0, time.monotonic()
    for shard in task.shards:
        stored = shard.stored.examples
        file = pq.ParquetFile(HttpFile(http, shard.examples_url, stored.size_bytes))
        for group in range(file.num_row_groups):
            for row in file.read_row_group(group).to_pylist():
                yield ExportedExample.from_row(row)
                count += 1
            if time.monotonic() - told_at >= _TELL_EVERY_S:
                told_at = time.monotonic()
                connection.send(Written(count))
