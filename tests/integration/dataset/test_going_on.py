"""Versions that go on from another: appended to, replaced in part, filtered, with shared shards."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
from google.longrunning import operations_pb2 as lro
from google.rpc import code_pb2, error_details_pb2
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune_kit import errors

from tests.integration.dataset.test_drafts import ids, manifest
from tests.support import archives
from tests.support.archives import image_name, jsonl, llava, numbered, numbered_record
from tests.support.dataset import (
    DatasetHandle,
    dataset_beside,
    details_of,
    program_beside,
    running_dataset,
    version_of,
)
from tests.support.s3 import SeaweedFS
from tests.support.storage import running_storage

APPEND, REPLACE, FILTER = pb.IMPORT_MODE_APPEND, pb.IMPORT_MODE_REPLACE, pb.IMPORT_MODE_FILTER


def one(number: int, answer: str = "") -> archives.Files:
    """An archive of one record of `numbered`, perhaps with another answer."""
    record = numbered_record(number)
    if answer:
        record = llava(image_name(number), answer, id=f"r{number}")
    return {"train.jsonl": jsonl(record), image_name(number): archives.noise(number)}


def filtering(base: pb.DatasetVersion, filter_: str, **more: Any) -> pb.ImportVersionRequest:
    parent = base.name.partition("/versions/")[0]
    return pb.ImportVersionRequest(parent=parent, base_version=base.name, mode=FILTER, filter=filter_, **more)


async def filtered(service: DatasetHandle, base: pb.DatasetVersion, filter_: str) -> lro.Operation:
    return await service.ended(await service.call("ImportVersion", filtering(base, filter_)))


async def test_versions_go_on_from_a_version_and_share_its_shards(s3: SeaweedFS, tmp_path: Path) -> None:
    async with running_dataset(s3, tmp_path, shard_bytes=1) as service:
        dataset = await service.create()
        first = await service.imported(dataset, numbered(150))  # two shards
        appended = await service.imported(dataset, one(150), base_version=first.name, mode=APPEND)
        assert appended.parent_version == first.name
        assert (appended.example_count, appended.shard_count) == (151, 3)
        assert (await ids(service, appended.name, "id = r150 OR id = r0")) == ["r0", "r150"]
        await service.until_objects(6)  # three shards and their previews in all

        replaced = await service.imported(
            dataset, one(120, "Another."), base_version=appended.name, mode=REPLACE
        )
        assert (replaced.example_count, replaced.shard_count) == (151, 4)
        assert await ids(service, replaced.name, 'answer = "Another."') == ["r120"]
        statistics = await service.call(
            "GetStatistics", pb.GetStatisticsRequest(name=f"{replaced.name}/statistics")
        )
        assert (statistics.example_count, statistics.image_count) == (151, 151)
        compared = await service.call("CompareVersions", pb.CompareVersionsRequest(name=replaced.name))
        assert (compared.base, compared.changed_count, compared.added_count) == (appended.name, 1, 0)
        urls = [
            {shard.sha256 for shard in (await manifest(service, each.name)).shards}
            for each in (first, appended, replaced)
        ]
        assert [len(found & urls[0]) for found in urls] == [2, 2, 1]

        kept = version_of(await filtered(service, replaced, "id = r0 OR id = r150"))
        assert (kept.parent_version, await ids(service, kept.name)) == (replaced.name, ["r0", "r150"])
        again = version_of(await filtered(service, replaced, "id = r0 OR id = r150"))
        assert again.name == kept.name, "the same data as the newest version is that version"


async def test_an_import_whose_ids_are_taken_is_refused_and_leaves_nothing(service: DatasetHandle) -> None:
    dataset = await service.create()
    base = await service.imported(dataset, numbered(2))
    operation = await service.start(dataset, one(1, "New."), base_version=base.name, mode=APPEND)
    ended = await service.ended(operation)
    assert ended.error.code == code_pb2.INVALID_ARGUMENT
    [violation, *_] = details_of(ended, error_details_pb2.BadRequest).field_violations
    assert 'the id "r1" is that of example 1 of v1' in violation.description
    await service.until_objects(2)
    nothing = await filtered(service, base, "id = nobody")
    assert nothing.error.code == code_pb2.INVALID_ARGUMENT
    assert "no example is left" in nothing.error.message
    await service.until_objects(2)


async def test_the_same_call_again_is_the_same_operation(service: DatasetHandle) -> None:
    dataset = await service.create()
    base = await service.imported(dataset, numbered(2))
    upload = await service.storage.upload(archives.tar(one(2)), filename="more.tar")
    request = pb.ImportVersionRequest(
        parent=dataset.name, upload=upload.name, base_version=base.name, mode=APPEND
    )
    first = await service.call("ImportVersion", request)
    assert (await service.call("ImportVersion", request)).name == first.name
    request.mode = REPLACE
    with pytest.raises(errors.FailedPrecondition) as taken:
        await service.call("ImportVersion", request)
    assert taken.value.reason == "UploadTaken"
    wanted = filtering(base, "id = r0", request_id="7f7f1b1e-5f0c-4a39-9a4e-6b7f6d7a1c11")
    names = {(await service.call("ImportVersion", wanted)).name for _ in range(2)}
    assert len(names) == 1
    with pytest.raises(errors.FailedPrecondition) as running:
        await service.call("DeleteVersion", pb.DeleteVersionRequest(name=base.name, force=True))
    assert running.value.reason == "ImportRunning", "a base stays while it is read"
    for name in (first.name, *names):
        version_of(await service.ended(lro.Operation(name=name)))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"base_version": "v1"}, "base_version and mode go together"),
    ({"mode": APPEND, "upload": "u"}, "base_version and mode go together"),
    ({"mode": APPEND, "base_version": "v1"}, "name an upload"),
    ({"mode": FILTER, "base_version": "v1", "filter": "id = a", "upload": "u"}, "takes none"),
    ({"mode": FILTER, "base_version": "v1"}, "takes a filter"),
    ({"mode": APPEND, "base_version": "v1", "upload": "u", "filter": "id = a"}, "takes a filter"),
    ({}, "name an upload"),
    ({"mode": FILTER, "base_version": "v1", "filter": "nonsense"}, "nonsense"),
    ({"mode": FILTER, "base_version": "v9", "filter": "id = a"}, "versions/v9"),
    ({"mode": APPEND, "base_version": "v9", "upload": "u"}, "versions/v9"),
]


async def test_requests_that_do_not_fit_together_are_refused(service: DatasetHandle) -> None:
    dataset = await service.create()
    await service.imported(dataset, archives.captions(1))
    upload = await service.storage.upload(archives.tar(archives.captions(2)), filename="a.tar")
    for fields, complaint in REFUSED:
        request = pb.ImportVersionRequest(parent=dataset.name, **fields)
        if request.upload:
            request.upload = upload.name
        if request.base_version:
            request.base_version = f"{dataset.name}/versions/{request.base_version}"
        with pytest.raises((errors.InvalidArgument, errors.NotFound)) as refused:
            await service.call("ImportVersion", request)
        assert complaint in str(refused.value), fields
    other = await service.create("other")
    foreign = filtering(pb.DatasetVersion(name=f"{dataset.name}/versions/v1"), "id = r0")
    foreign.parent = other.name
    with pytest.raises(errors.NotFound):
        await service.call("ImportVersion", foreign)


@pytest.mark.slow
@pytest.mark.parametrize("point", ["import.shard_stored", "import.before_commit", "import.committed"])
@pytest.mark.parametrize("mode", [APPEND, REPLACE, FILTER])
async def test_it_survives_the_death_of_its_server(
    s3: SeaweedFS, tmp_path: Path, mode: pb.ImportMode.ValueType, point: str
) -> None:
    async with running_storage(s3, tmp_path, sweep_interval_s=0.2) as storage:
        async with dataset_beside(storage, tmp_path) as service:
            dataset = await service.create()
            first = await service.imported(dataset, numbered(5))
        async with program_beside(storage, tmp_path, fault=f"{point}:kill@1") as (process, service):
            if mode == FILTER:
                operation = await service.call("ImportVersion", filtering(first, "NOT id = r1"))
            else:
                changed = one(5) if mode == APPEND else one(1, "New.")
                operation = await service.start(dataset, changed, base_version=first.name, mode=mode)
            async with asyncio.timeout(60):
                assert await process.wait() == -signal.SIGKILL
        async with dataset_beside(storage, tmp_path) as service:
            second = version_of(await service.ended(operation))
            assert second.parent_version == first.name
            assert second.example_count == {APPEND: 6, REPLACE: 5, FILTER: 4}[mode]
            assert [each.name for each in await service.versions(dataset)] == [second.name, first.name]
            new_objects = {APPEND: 2, REPLACE: 4, FILTER: 2}[mode]
            await service.until_objects(2 + new_objects)
