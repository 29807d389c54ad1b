"""The dataset service over a database, real storage and a real S3 server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.dataset import DatasetHandle, running_dataset
from tests.support.s3 import SeaweedFS


@pytest.fixture
async def service(s3: SeaweedFS, tmp_path: Path) -> AsyncIterator[DatasetHandle]:
    async with running_dataset(s3, tmp_path) as handle:
        yield handle
