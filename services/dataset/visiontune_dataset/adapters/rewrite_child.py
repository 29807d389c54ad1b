"""The process that makes a version of another one: reads shards by ranges, runs visiontune_data.rewrite.

Started by rewrite_process; it ends with its parent, however that ends.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from visiontune_data.example import Example
from visiontune_data.ingest import Options
from visiontune_data.rewrite import Changes, Rewritten, rewrite

from visiontune_dataset.adapters.base_shards import base_shard
from visiontune_dataset.adapters.child import tell
from visiontune_dataset.adapters.http_file import client, read_whole
from visiontune_dataset.ports import ReadableShard


@dataclass(frozen=True, slots=True)
class Task:
    """What to make of which shards. `uploads` are URLs of images by sha256."""

    base: tuple[ReadableShard, ...]
    changed: Mapping[str, Example | None]
    added: tuple[Example, ...]
    uploads: Mapping[str, str]
    format_name: str
    name: str
    scratch: Path
    options: Options


def run(connection: Connection, task: Task) -> None:
    """Rewrites; messages are Progress and Shard, the last one is a Rewritten, SourceLost or Died."""
    tell(connection, lambda: _rewrite(connection, task))


def _rewrite(connection: Connection, task: Task) -> Rewritten:
    with client() as http:
        uploads = {sha: functools.partial(read_whole, http, url) for sha, url in task.uploads.items()}
        return rewrite(
            [base_shard(shard, http) for shard in task.base],
            Changes(task.changed, task.added, uploads),
            task.format_name,
            task.name,
            task.scratch,
            task.options,
            progress=connection.send,
            finished=connection.send,
        )
