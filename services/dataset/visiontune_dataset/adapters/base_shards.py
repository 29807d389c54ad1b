"""The shards of a version in the bucket, as the library reads them when it makes another of it."""

import functools
from pathlib import Path

import httpx
from visiontune_data.carrying import BaseShard
from visiontune_data.shards import Shard, ShardFile

from visiontune_dataset.adapters.http_file import HttpFile
from visiontune_dataset.domain.datasets import StoredFile
from visiontune_dataset.ports import ReadableShard


def base_shard(shard: ReadableShard, http: httpx.Client) -> BaseShard:
    """The shard, read by ranges as far as it is asked for."""
    stored = shard.stored
    files = [_facts(stored.examples), _facts(stored.preview)]
    return BaseShard(
        Shard(stored.index, stored.row_count, dict(stored.split_counts), *files),
        functools.partial(HttpFile, http, shard.examples_url, stored.examples.size_bytes),
        functools.partial(HttpFile, http, shard.preview_url, stored.preview.size_bytes),
    )


def _facts(file: StoredFile) -> ShardFile:
    return ShardFile(Path(), file.sha256, file.size_bytes)
