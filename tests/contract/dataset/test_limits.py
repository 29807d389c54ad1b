"""Limits of a project, on each database: of many calls at once no more get through than fit."""

import asyncio
from pathlib import Path

import pytest
from visiontune.storage.v1 import storage_pb2
from visiontune_kit import errors
from visiontune_kit.identity import Role

from tests.support import archives
from tests.support.databases import database_url
from tests.support.dataset import DatasetHandle, running_dataset
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


async def test_an_operator_s_limits_of_a_project_go_before_the_settings(
    s3: SeaweedFS, tmp_path: Path, database_url: str
) -> None:
    async with running_dataset(s3, tmp_path, database_url=database_url, datasets_per_project=1) as service:
        await set_limits(service, limit_datasets=2, limit_images=3)
        dataset = await service.create("one")
        await service.create("two")
        with pytest.raises(errors.ResourceExhausted, match="2 datasets"):
            await service.create("three")
        refused = await service.ended(await service.start(dataset, archives.captions(4)))
        assert "more than 3 images" in refused.error.message
        await set_limits(service, limit_images=4)
        done = await service.ended(await service.start(dataset, archives.captions(4)))
        assert done.HasField("response")


async def set_limits(service: DatasetHandle, **limits: int) -> None:
    quota = storage_pb2.Quota(name="projects/default/quota", **limits)  # type: ignore[arg-type]
    request = storage_pb2.UpdateQuotaRequest(quota=quota)
    await service.storage.call("UpdateQuota", request, role=Role.OPERATOR)
