"""The storage service over a database and a real S3 server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.s3 import SeaweedFS
from tests.support.storage import StorageHandle, running_storage


@pytest.fixture
async def storage(s3: SeaweedFS, tmp_path: Path) -> AsyncIterator[StorageHandle]:
    async with running_storage(s3, tmp_path) as handle:
        yield handle
