"""Deletions can be undone for a while: what is deleted is hidden, comes back whole, and goes at the end."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune_dataset import app
from visiontune_kit import errors

from tests.integration.dataset.test_deletion import remove_when_idle, when_idle
from tests.integration.dataset.test_drafts import ids, manifest
from tests.support import archives
from tests.support.clocks import MovableClock
from tests.support.dataset import DatasetHandle, running_dataset
from tests.support.s3 import SeaweedFS

WINDOW_S = 3_600.0


async def delete(service: DatasetHandle, name: str, *, purge: bool = False) -> None:
    request = pb.DeleteDatasetRequest(name=name, force=True, purge=purge)
    await when_idle(lambda: service.call("DeleteDataset", request))


async def undelete(service: DatasetHandle, name: str) -> pb.Dataset:
    found: pb.Dataset = await service.call("UndeleteDataset", pb.UndeleteDatasetRequest(name=name))
    return found


async def deleted_datasets(service: DatasetHandle) -> list[str]:
    request = pb.ListDatasetsRequest(parent="projects/default", only_deleted=True)
    return [each.name for each in (await service.call("ListDatasets", request)).datasets]


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def service(
    s3: SeaweedFS, tmp_path: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[DatasetHandle]:
    """With a window of an hour, and sweeps that do not let one wait."""
    monkeypatch.setattr(app, "_SWEEP_INTERVAL_S", 0.2)
    async with running_dataset(s3, tmp_path, clock=clock, undo_window_s=WINDOW_S, shard_bytes=1) as handle:
        yield handle


async def test_a_deleted_dataset_is_hidden_and_comes_back_whole(service: DatasetHandle) -> None:
    dataset = await service.create()
    version = await service.imported(dataset, archives.numbered(3))
    await delete(service, dataset.name)
    with pytest.raises(errors.NotFound):
        await service.call("GetDataset", pb.GetDatasetRequest(name=dataset.name))
    with pytest.raises(errors.NotFound):
        await service.call("GetVersion", pb.GetVersionRequest(name=version.name))
    assert await deleted_datasets(service) == [dataset.name]
    with pytest.raises(errors.AlreadyExists) as taken:
        await service.create()
    assert "can be brought back until" in taken.value.message
    with pytest.raises(errors.NotFound):  # it is deleted already
        await delete(service, dataset.name)

    back = await undelete(service, dataset.name)
    assert (back.latest_version, back.version_count, back.HasField("purge_time")) == (version.name, 1, False)
    assert await undelete(service, dataset.name) == back, "what is there stays as it is"
    assert await ids(service, version.name) == ["r0", "r1", "r2"]
    for shard in (await manifest(service, version.name)).shards:
        assert (await service.storage.http.get(shard.url)).status_code == 200
    assert await deleted_datasets(service) == []


async def test_a_deleted_dataset_goes_when_its_window_ends_or_it_is_purged(
    service: DatasetHandle, clock: MovableClock
) -> None:
    first, second, third = [await service.create(each) for each in "abc"]
    for dataset in (first, second):
        await service.imported(dataset, archives.numbered(2))
        await delete(service, dataset.name)
    await delete(service, third.name, purge=True)
    await service.until_objects(4)
    await delete(service, first.name, purge=True)  # though it is deleted already
    await service.until_objects(2)
    clock.moved = timedelta(seconds=WINDOW_S + 1)
    for dataset in (first, second, third):
        with pytest.raises(errors.NotFound):
            await undelete(service, dataset.name)
    await service.until_objects(0)
    assert await deleted_datasets(service) == []
    await service.create("b")


async def test_a_deleted_version_comes_back_under_its_number(
    service: DatasetHandle, clock: MovableClock
) -> None:
    dataset = await service.create()
    first = await service.imported(dataset, archives.numbered(150))
    second = await service.imported(
        dataset, archives.numbered(1), base_version=first.name, mode=pb.IMPORT_MODE_REPLACE
    )
    assert second.name == first.name, "nothing new in it"
    filtered = pb.ImportVersionRequest(
        parent=dataset.name, base_version=first.name, mode=pb.IMPORT_MODE_FILTER, filter="NOT id = r120"
    )
    await service.ended(await service.call("ImportVersion", filtered))
    newest = f"{dataset.name}/versions/v2"
    await remove_when_idle(service, newest)
    gone = await service.call("ListVersions", pb.ListVersionsRequest(parent=dataset.name, only_deleted=True))
    assert [(each.name, each.HasField("purge_time")) for each in gone.versions] == [(newest, True)]
    assert [each.name for each in await service.versions(dataset)] == [first.name]
    found = await service.call("GetDataset", pb.GetDatasetRequest(name=dataset.name))
    assert (found.latest_version, found.version_count) == (first.name, 1)

    for _ in range(2):
        back = await service.call("UndeleteVersion", pb.UndeleteVersionRequest(name=newest))
        assert (back.name, back.HasField("purge_time")) == (newest, False)
    found = await service.call("GetDataset", pb.GetDatasetRequest(name=dataset.name))
    assert (found.latest_version, found.version_count) == (newest, 2)
    assert len(await ids(service, newest)) == 149

    await remove_when_idle(service, first.name)
    await service.until_objects(6)  # two shards, one of them twice, each with its preview
    clock.moved = timedelta(seconds=WINDOW_S + 1)
    await service.until_objects(4)  # what the other version shares stays
    with pytest.raises(errors.NotFound):
        await service.call("UndeleteVersion", pb.UndeleteVersionRequest(name=first.name))
    purge = pb.DeleteVersionRequest(name=newest, force=True, purge=True)
    await service.call("DeleteVersion", purge)
    await service.until_objects(0)
