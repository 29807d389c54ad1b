"""The storage service on each database, with a real S3 server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.clocks import MovableClock
from tests.support.databases import database_url
from tests.support.s3 import SeaweedFS
from tests.support.storage import StorageHandle, running_storage

__all__ = ["database_url"]

MIB = 1024 * 1024


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def storage(s3: SeaweedFS, tmp_path: Path, database_url: str) -> AsyncIterator[StorageHandle]:
    """Parts are small, so that a few MiB make a multipart upload; quotas are 40 MiB."""
    async with running_storage(
        s3,
        tmp_path,
        database_url=database_url,
        single_part_limit_bytes=6 * MIB,
        part_size_bytes=5 * MIB,
        default_limit_bytes=40 * MIB,
        sweep_interval_s=3600,
    ) as handle:
        yield handle
