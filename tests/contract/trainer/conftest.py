"""The trainer on each database, with real storage beside it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.databases import database_url
from tests.support.s3 import SeaweedFS
from tests.support.trainer import TrainerHandle, running_trainer

__all__ = ["database_url"]


@pytest.fixture
async def trainer(s3: SeaweedFS, tmp_path: Path, database_url: str) -> AsyncIterator[TrainerHandle]:
    async with running_trainer(s3, tmp_path, database_url=database_url) as handle:
        yield handle
