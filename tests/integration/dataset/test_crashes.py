"""Imports that are killed or cancelled: one version or none, and never an object that nobody owns."""

import asyncio
import multiprocessing
import os
import signal
from pathlib import Path

import psutil
import pytest
from google.rpc import code_pb2
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune_dataset.adapters import import_child
from visiontune_kit import errors
from visiontune_kit.database import Database
from visiontune_kit.operations import Operations

from tests.support import archives, databases
from tests.support.dataset import DatasetHandle, dataset_beside, metadata_of, program_beside, version_of
from tests.support.eventually import eventually
from tests.support.s3 import SeaweedFS
from tests.support.storage import running_storage

pytestmark = pytest.mark.chaos

LARGE = archives.numbered(14, (640, 480))

# Those without a mark run with every `make test`; each starts the program.
POINTS = [
    "import.shard_stored",
    pytest.param("import.before_commit", marks=pytest.mark.slow),
    pytest.param("import.committed", marks=pytest.mark.slow),
    pytest.param("operations.claimed", marks=pytest.mark.slow),
    pytest.param("operations.cleaned", marks=pytest.mark.slow),
]


def importing() -> int:
    """The process of the import that runs in this process's service; 0 when none does."""
    return next(
        (each.pid or 0 for each in multiprocessing.active_children() if each.name == import_child.__name__), 0
    )


def decoding() -> int:
    """A process that decodes for it; 0 when none does."""
    try:
        return next((each.pid for each in psutil.Process(importing() or -1).children()), 0)
    except (psutil.NoSuchProcess, ValueError):
        return 0


@pytest.mark.parametrize("victim", [importing, decoding])
async def test_a_killed_process_is_replaced(service: DatasetHandle, victim: object) -> None:
    assert callable(victim)
    dataset = await service.create()
    operation = await service.start(dataset, LARGE, "large.tar")
    os.kill(await eventually(victim, within_s=30, every_s=0.005), signal.SIGKILL)
    ended = await service.ended(operation)
    assert version_of(ended).example_count == 14
    assert metadata_of(ended).restart_count == 1
    assert len(await service.versions(dataset)) == 1
    await service.until_objects(2)
    assert importing() == 0


async def test_a_cancelled_import_leaves_nothing(service: DatasetHandle, tmp_path: Path) -> None:
    dataset = await service.create()
    operation = await service.start(dataset, LARGE, "large.tar")
    await eventually(importing, within_s=30)
    await service.cancel(operation)
    ended = await service.ended(operation)
    assert ended.error.code == code_pb2.CANCELLED
    await service.until_objects(0)
    assert await service.versions(dataset) == []
    await eventually(lambda: importing() == 0)
    assert list((tmp_path / "scratch" / "imports").iterdir()) == []


@pytest.mark.parametrize("point", POINTS)
async def test_a_killed_server_goes_on_after_its_restart(s3: SeaweedFS, tmp_path: Path, point: str) -> None:
    async with running_storage(s3, tmp_path, sweep_interval_s=0.2) as storage:
        async with program_beside(storage, tmp_path, fault=f"{point}:kill@1") as (process, service):
            dataset = await service.create()
            operation = await service.start(dataset, archives.numbered(5), "small.tar")
            async with asyncio.timeout(60):
                assert await process.wait() == -signal.SIGKILL
        async with dataset_beside(storage, tmp_path) as service:
            ended = await service.ended(operation)
            assert version_of(ended).name == f"{dataset.name}/versions/v1"
            assert [each.name for each in await service.versions(dataset)] == [version_of(ended).name]
            await service.until_objects(2)
            assert list((tmp_path / "scratch" / "imports").glob("*")) == []


async def test_two_replicas_share_imports_and_one_takes_over_what_the_other_ran(
    s3: SeaweedFS, tmp_path: Path
) -> None:
    async with (
        running_storage(s3, tmp_path, sweep_interval_s=0.2) as storage,
        program_beside(storage, tmp_path) as (_, survivor),
        program_beside(storage, tmp_path, fault="import.shard_stored:kill@2") as (process, victim),
    ):
        datasets = [await survivor.create(f"d-{number}") for number in range(4)]
        started = [await victim.start(each, archives.numbered(5), "small.tar") for each in datasets]
        async with asyncio.timeout(60):
            assert await process.wait() == -signal.SIGKILL  # so it ran one to its end, and another in part
        for dataset, operation in zip(datasets, started, strict=True):
            ended = await survivor.ended(operation)
            assert version_of(ended).name == f"{dataset.name}/versions/v1"
            assert [each.name for each in await survivor.versions(dataset)] == [version_of(ended).name]
        await survivor.until_objects(8)


async def test_what_a_killed_server_left_goes_when_its_import_is_cancelled(
    s3: SeaweedFS, tmp_path: Path
) -> None:
    imports = tmp_path / "scratch" / "imports"
    async with running_storage(s3, tmp_path, sweep_interval_s=0.2) as storage:
        async with program_beside(storage, tmp_path, fault="import.shard_stored:kill@1") as (
            process,
            service,
        ):
            operation = await service.start(await service.create(), archives.numbered(5), "small.tar")
            async with asyncio.timeout(60):
                assert await process.wait() == -signal.SIGKILL
        assert len(list(imports.iterdir())) == 1
        # By what no replica has seen yet when the next one starts: it would begin the import anew otherwise.
        database = Database.open(databases.url_in(tmp_path, "dataset"))
        await Operations(database, {}).cancel(operation.name)
        await database.close()
        async with dataset_beside(storage, tmp_path) as service:
            assert (await service.ended(operation)).error.code == code_pb2.CANCELLED
            await service.until_objects(0)
            assert list(imports.iterdir()) == []


async def test_one_import_does_not_stop_calls(service: DatasetHandle) -> None:
    dataset = await service.create()
    operation = await service.start(dataset, LARGE, "large.tar")
    await eventually(importing, within_s=30)
    while importing():
        async with asyncio.timeout(2):
            await service.get(operation)
        await asyncio.sleep(0.01)
    version_of(await service.ended(operation))


@pytest.mark.parametrize(
    "point",
    [
        "commit.rewritten",
        pytest.param("import.shard_stored", marks=pytest.mark.slow),
        pytest.param("import.before_commit", marks=pytest.mark.slow),
        pytest.param("import.committed", marks=pytest.mark.slow),
    ],
)
async def test_a_commit_survives_the_death_of_its_server(s3: SeaweedFS, tmp_path: Path, point: str) -> None:
    async with running_storage(s3, tmp_path, sweep_interval_s=0.2) as storage:
        async with dataset_beside(storage, tmp_path) as service:
            dataset = await service.create()
            first = await service.imported(dataset, archives.numbered(5))
            draft = await service.call("CreateDraft", pb.CreateDraftRequest(parent=dataset.name))
            gone = pb.Edit(example_id="r1", delete=pb.Deletion())
            await service.call("EditExamples", pb.EditExamplesRequest(name=draft.name, edits=[gone]))
        async with program_beside(storage, tmp_path, fault=f"{point}:kill@1") as (process, service):
            operation = await service.call("CommitVersion", pb.CommitVersionRequest(name=draft.name))
            async with asyncio.timeout(60):
                assert await process.wait() == -signal.SIGKILL
        async with dataset_beside(storage, tmp_path) as service:
            second = version_of(await service.ended(operation))
            assert (second.parent_version, second.example_count) == (first.name, 4)
            assert [each.name for each in await service.versions(dataset)] == [second.name, first.name]
            await service.until_objects(4)


async def test_an_export_survives_the_death_of_its_server(s3: SeaweedFS, tmp_path: Path) -> None:
    async with running_storage(s3, tmp_path, sweep_interval_s=0.2) as storage:
        async with program_beside(storage, tmp_path, fault="export.stored:kill@1") as (process, service):
            version = await service.imported(await service.create(), archives.numbered(5))
            operation = await service.call("ExportVersion", pb.ExportVersionRequest(name=version.name))
            async with asyncio.timeout(60):
                assert await process.wait() == -signal.SIGKILL
        async with dataset_beside(storage, tmp_path) as service:
            assert (await service.ended(operation)).HasField("response")
            await service.until_objects(3)  # a shard, its preview, and one archive


async def deleted(service: DatasetHandle, version: pb.DatasetVersion) -> bool:
    """False while the import that made it still cleans up."""
    try:
        await service.call("DeleteVersion", pb.DeleteVersionRequest(name=version.name))
    except errors.FailedPrecondition:
        return False
    return True


async def test_what_a_deleted_version_left_goes_when_the_server_is_back(
    s3: SeaweedFS, tmp_path: Path
) -> None:
    async with running_storage(s3, tmp_path, sweep_interval_s=0.2) as storage:
        async with dataset_beside(storage, tmp_path) as service:
            version = await service.imported(await service.create(), archives.numbered(5))
        async with program_beside(storage, tmp_path, fault="version.removed:kill@1") as (process, service):
            with pytest.raises(errors.Unavailable):
                await eventually(lambda: deleted(service, version))
            async with asyncio.timeout(60):
                assert await process.wait() == -signal.SIGKILL
        async with dataset_beside(storage, tmp_path) as service:
            await service.until_objects(0)
