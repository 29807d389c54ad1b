"""Limits of a project, on each database: of many calls at once no more get through than fit."""

import asyncio
from pathlib import Path

from tests.support.databases import database_url
from tests.support.dataset import running_dataset
from tests.support.s3 import SeaweedFS

__all__ = ["database_url"]


async def test_of_many_datasets_at_once_no_more_are_made_than_a_project_may_have(
    s3: SeaweedFS, tmp_path: Path, database_url: str
) -> None:
    async with running_dataset(s3, tmp_path, database_url=database_url, datasets_per_project=3) as service:
        made = await asyncio.gather(*(service.create(f"d-{n}") for n in range(12)), return_exceptions=True)
        refused = [each for each in made if isinstance(each, BaseException)]
        assert len(made) - len(refused) == 3
        assert {getattr(each, "reason", each) for each in refused} == {"TooManyDatasets"}
        await service.create("d-0", project="other")
