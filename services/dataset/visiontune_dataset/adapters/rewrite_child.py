"""The process that makes a version of another one: reads shards by ranges, runs visiontune_data.rewrite.

Started by rewrite_process; it ends with its parent, however that ends.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
from visiontune_data.example import Example
from visiontune_data.ingest import Options
from visiontune_data.rewrite import BaseShard, Changes, Rewritten, rewrite
from visiontune_data.shards import Shard, ShardFile

from visiontune_dataset.adapters.child import tell
from visiontune_dataset.adapters.http_file import HttpFile, read_whole
from visiontune_dataset.domain.datasets import StoredFile
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
    with httpx.Client(timeout=30.0, follow_redirects=False, trust_env=False) as http:
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


def base_shard(shard: ReadableShard, http: httpx.Client) -> BaseShard:
    """The shard as the library reads it."""
    stored = shard.stored
    files = [_facts(stored.examples), _facts(stored.preview)]
    return BaseShard(
        Shard(stored.index, stored.row_count, dict(stored.split_counts), *files),
        functools.partial(HttpFile, http, shard.examples_url, stored.examples.size_bytes),
        functools.partial(HttpFile, http, shard.preview_url, stored.preview.size_bytes),
    )


def _facts(file: StoredFile) -> ShardFile:
    return ShardFile(Path(), file.sha256, file.size_bytes)
