"""Deleting versions: what others share stays, what nobody has goes, and what is used stays unless forced."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune_kit import errors

from tests.integration.dataset.test_drafts import answer, commit, draft_of, edit, ids, manifest
from tests.support import archives
from tests.support.dataset import DatasetHandle, running_dataset, version_of
from tests.support.eventually import eventually
from tests.support.s3 import SeaweedFS


async def remove(service: DatasetHandle, version: str, *, force: bool = False) -> None:
    await service.call("DeleteVersion", pb.DeleteVersionRequest(name=version, force=force))


async def when_idle(remove_it: Callable[[], Awaitable[Any]]) -> None:
    """Removes once the operation that made it has cleaned up, too."""

    async def removed() -> bool:
        try:
            await remove_it()
        except errors.FailedPrecondition as refused:
            if refused.reason != "ImportRunning":
                raise
            return False
        return True

    await eventually(removed)


async def remove_when_idle(service: DatasetHandle, version: str) -> None:
    await when_idle(lambda: remove(service, version, force=True))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_shared_shards_survive_the_deletion_of_either_version(
    s3: SeaweedFS, tmp_path: Path, order: tuple[int, int]
) -> None:
    async with running_dataset(s3, tmp_path, shard_bytes=1) as service:
        dataset = await service.create()
        first = await service.imported(dataset, archives.numbered(150))
        draft = await draft_of(service, dataset)
        await edit(service, draft, answer("r120", "Changed."))
        second = version_of(await commit(service, draft))
        await service.until_objects(6)
        goes, stays = (first, second) if order == (0, 1) else (second, first)
        await remove_when_idle(service, goes.name)
        await service.until_objects(4)
        with pytest.raises(errors.NotFound):
            await service.call("GetVersion", pb.GetVersionRequest(name=goes.name))
        assert len(await ids(service, stays.name)) == 150
        for shard in (await manifest(service, stays.name)).shards:
            assert (await service.storage.http.get(shard.url)).status_code == 200
        found = await service.call("GetDataset", pb.GetDatasetRequest(name=dataset.name))
        assert (found.latest_version, found.version_count) == (stays.name, 1)
        third = await service.imported(dataset, archives.numbered(2))
        assert third.name == f"{dataset.name}/versions/v3"  # a number is not given twice
        await remove_when_idle(service, stays.name)
        await remove_when_idle(service, third.name)
        await service.until_objects(0)
        found = await service.call("GetDataset", pb.GetDatasetRequest(name=dataset.name))
        assert (found.latest_version, found.version_count) == ("", 0)


async def test_a_version_in_use_is_deleted_by_force_alone(service: DatasetHandle) -> None:
    dataset = await service.create()
    version = await service.imported(dataset, archives.numbered(3))
    await manifest(service, version.name)
    with pytest.raises(errors.FailedPrecondition) as read:
        await remove(service, version.name)
    assert read.value.reason == "VersionInUse"
    assert "UTC, by URLs that are given. Set force" in read.value.message
    draft = await draft_of(service, dataset)
    with pytest.raises(errors.FailedPrecondition) as edited:
        await remove(service, version.name)
    assert f"is edited by {draft.name}" in edited.value.message
    await remove(service, version.name, force=True)
    with pytest.raises(errors.NotFound):
        await service.call("GetDraft", pb.GetDraftRequest(name=draft.name))
    await service.until_objects(0)


async def test_no_version_goes_while_another_is_made(service: DatasetHandle) -> None:
    dataset = await service.create()
    version = await service.imported(dataset, archives.numbered(3))
    running = await service.start(dataset, archives.numbered(14, (640, 480)), "large.tar")
    with pytest.raises(errors.FailedPrecondition) as refused:
        await remove(service, version.name, force=True)
    assert refused.value.reason == "ImportRunning"
    version_of(await service.ended(running))
