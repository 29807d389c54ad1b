"""What collecting garbage promises, and deletions that can be undone; on both databases."""

import io
import secrets
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from google.longrunning import operations_pb2 as lro
from google.protobuf.duration_pb2 import Duration
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune_kit import errors
from visiontune_kit.identity import Role

from tests.support.clocks import MovableClock
from tests.support.eventually import eventually
from tests.support.s3 import S3Server, SeaweedFS
from tests.support.storage import StorageHandle, running_storage

PARENT = "projects/default"
VERSION = f"{PARENT}/datasets/d/versions/v1"
DAY = Duration(seconds=86_400)


@pytest.fixture
async def storage(
    s3: SeaweedFS, tmp_path: Path, database_url: str, clock: MovableClock
) -> AsyncIterator[StorageHandle]:
    """The sweep runs once, at the start: what is collected is collected by the operation."""
    async with running_storage(
        s3, tmp_path, database_url=database_url, clock=clock, sweep_interval_s=3600
    ) as handle:
        yield handle


def stray(s3: S3Server, bucket: str, content: bytes, project: str = "default") -> str:
    """Bytes that no row knows, put at a key as storage makes them."""
    key = f"{project}/{secrets.token_hex(20)}"
    s3.client().put_object(bucket, key, io.BytesIO(content), len(content))
    return key


async def listed(storage: StorageHandle, *, show_deleted: bool = False) -> list[str]:
    request = pb.ListObjectsRequest(parent=PARENT, show_deleted=show_deleted)
    return [each.name for each in (await storage.call("ListObjects", request)).objects]


async def delete(storage: StorageHandle, **fields: object) -> pb.DeleteObjectsResponse:
    request = pb.DeleteObjectsRequest(parent=PARENT, undo_window=DAY, **fields)  # type: ignore[arg-type]
    answer: pb.DeleteObjectsResponse = await storage.call_as_service("DeleteObjects", request)
    return answer


async def undelete(storage: StorageHandle, **fields: object) -> tuple[int, int]:
    request = pb.UndeleteObjectsRequest(parent=PARENT, **fields)  # type: ignore[arg-type]
    answer = await storage.call_as_service("UndeleteObjects", request)
    return answer.restored_count, answer.restored_bytes


async def test_bytes_that_belong_to_nothing_go_once_they_are_old(
    storage: StorageHandle, s3: SeaweedFS, clock: MovableClock
) -> None:
    kept, pending = await storage.upload(b"kept"), await storage.create(b"pending")
    await storage.put(pending, b"pending")
    stray(s3, storage.bucket, b"stray")
    found = await storage.collect()
    assert (found.orphans.count, found.young_orphans.count, found.young_orphans.size_bytes) == (0, 1, 5)
    clock.moved = timedelta(days=8)
    found = await storage.collect(dry_run=True)
    assert (found.orphans.count, found.orphans.size_bytes) == (1, 5)
    assert (found.dry_run, found.freed_bytes) == (True, 0)
    assert len(s3.keys(storage.bucket)) == 2
    found = await storage.collect()
    assert (found.orphans.count, found.freed_bytes, found.missing.count) == (1, 5, 0)
    assert len(s3.keys(storage.bucket)) == 1
    assert (await storage.collect()).orphans.count == 0
    clock.moved = timedelta()
    assert await storage.read(kept.object) == b"kept"


async def test_of_many_objects_in_many_pages_only_the_strays_go(
    storage: StorageHandle, s3: SeaweedFS, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("visiontune_storage.use_cases.collect._PAGE", 3)
    made = [(await storage.upload(bytes([n]))).object for n in range(8)]
    for n in range(7):
        stray(s3, storage.bucket, bytes([n]))
    clock.moved = timedelta(days=8)
    found = await storage.collect("-")
    assert (found.orphans.count, found.missing.count) == (7, 0)
    assert len(s3.keys(storage.bucket)) == 8
    clock.moved = timedelta()
    assert await listed(storage) == made


async def test_folders_of_projects_that_nobody_knows_are_told_and_left_alone(
    storage: StorageHandle, s3: SeaweedFS, clock: MovableClock
) -> None:
    await storage.upload(b"mine")
    theirs = stray(s3, storage.bucket, b"another installation's", project="theirs")
    clock.moved = timedelta(days=8)
    found = await storage.collect("-")
    assert (list(found.unknown_folders), found.orphans.count) == (["theirs"], 0)
    assert theirs in s3.keys(storage.bucket)
    assert not (await storage.collect()).unknown_folders


async def test_objects_whose_bytes_are_gone_are_told_and_stay(storage: StorageHandle, s3: SeaweedFS) -> None:
    lost, kept = await storage.upload(b"lost"), await storage.upload(b"kept")
    [key] = [each for each in s3.keys(storage.bucket) if content(s3, storage.bucket, each) == b"lost"]
    s3.client().remove_object(storage.bucket, key)
    found = await storage.collect()
    assert (found.missing.count, found.missing.size_bytes) == (1, 4)
    assert list(found.missing_objects) == [lost.object]
    assert await listed(storage) == [lost.object, kept.object]


def content(s3: SeaweedFS, bucket: str, key: str) -> bytes:
    answer = s3.client().get_object(bucket, key)
    try:
        return bytes(answer.read())
    finally:
        answer.close()


async def test_multipart_uploads_that_belong_to_nothing_are_aborted(
    storage: StorageHandle, s3: SeaweedFS, clock: MovableClock
) -> None:
    pending = await storage.create(b"pending", size_bytes=7)
    client = s3.client()
    client._create_multipart_upload(storage.bucket, f"default/{secrets.token_hex(20)}", {})
    clock.moved = timedelta(hours=23)
    assert (await storage.collect()).orphan_upload_count == 0
    clock.moved = timedelta(days=8)
    found = await storage.collect()
    assert found.orphan_upload_count == 1
    assert (found.expired_uploads.count, found.expired_uploads.size_bytes) == (1, 7)
    assert not client._list_multipart_uploads(storage.bucket).uploads
    state = (await storage.call("GetUpload", pb.GetUploadRequest(name=pending.name))).state
    assert state == pb.Upload.STATE_EXPIRED


async def test_a_collection_that_is_asked_for_twice_is_one(storage: StorageHandle) -> None:
    request = pb.CollectGarbageRequest(parent=PARENT, request_id=str(uuid.uuid4()))
    first, second = [await storage.call("CollectGarbage", request, role=Role.ADMIN) for _ in range(2)]
    assert first.name == second.name


async def test_the_whole_bucket_is_for_operators(storage: StorageHandle) -> None:
    with pytest.raises(errors.NotFound):
        await storage.call("CollectGarbage", pb.CollectGarbageRequest(parent="projects/-"), role=Role.ADMIN)


async def test_a_deletion_with_an_undo_window_can_be_taken_back(
    storage: StorageHandle, s3: SeaweedFS
) -> None:
    done = await storage.upload(b"content", owner=VERSION)
    deleted = await delete(storage, objects=[done.object])
    assert (deleted.deleted_count, deleted.freed_bytes) == (1, 0)
    assert (await delete(storage, objects=[done.object])).deleted_count == 0
    with pytest.raises(errors.NotFound):
        await storage.read(done.object)
    assert await listed(storage) == []
    assert await listed(storage, show_deleted=True) == [done.object]
    quota = await storage.quota()
    assert (quota.used_bytes, quota.object_count) == (7, 1)
    assert (await storage.collect()).purged_objects.count == 0
    assert await undelete(storage, objects=[done.object]) == (1, 7)
    assert await undelete(storage, objects=[done.object]) == (0, 0)
    assert await storage.read(done.object) == b"content"


async def test_when_its_window_ends_a_deletion_is_for_good(
    storage: StorageHandle, s3: SeaweedFS, clock: MovableClock
) -> None:
    for number in range(3):
        await storage.upload(bytes([number]), owner=VERSION)
    kept = await storage.upload(b"kept", owner=f"{VERSION}0")
    assert (await delete(storage, owner=VERSION)).deleted_count == 3
    clock.moved = timedelta(hours=25)
    assert await undelete(storage, owner=VERSION) == (0, 0)
    found = await storage.collect(dry_run=True)
    assert (found.purged_objects.count, found.purged_objects.size_bytes) == (3, 3)
    assert (await storage.quota()).object_count == 4
    found = await storage.collect()
    assert (found.purged_objects.count, found.freed_bytes) == (3, 3)
    quota = await storage.quota()
    assert (quota.used_bytes, quota.object_count) == (4, 1)
    assert len(s3.keys(storage.bucket)) == 1
    assert await listed(storage, show_deleted=True) == [kept.object]


async def test_an_owner_s_objects_come_back_together(storage: StorageHandle) -> None:
    made = [(await storage.upload(bytes([n]), owner=f"{VERSION}/shards/{n}")).object for n in range(3)]
    await delete(storage, owner=VERSION)
    assert await undelete(storage, owner=f"{PARENT}/datasets/d") == (3, 3)
    assert await listed(storage) == made
    await delete(storage, owner=VERSION)
    request = pb.DeleteObjectsRequest(parent=PARENT, owner=VERSION)  # for good, deleted ones as well
    assert (await storage.call_as_service("DeleteObjects", request)).deleted_count == 3
    assert (await storage.quota()).object_count == 0


async def test_a_user_brings_back_what_uploads_own_and_nothing_else(storage: StorageHandle) -> None:
    shard, own = await storage.upload(b"shard", owner=VERSION), await storage.upload(b"own")
    await delete(storage, objects=[shard.object, own.object])
    request = pb.UndeleteObjectsRequest(parent=PARENT, objects=[shard.object, own.object])
    with pytest.raises(errors.PermissionDenied) as refused:
        await storage.call("UndeleteObjects", request)
    assert refused.value.reason == "OwnerReserved"
    assert await listed(storage) == []
    request = pb.UndeleteObjectsRequest(parent=PARENT, objects=[own.object])
    assert (await storage.call("UndeleteObjects", request)).restored_count == 1
    assert await listed(storage) == [own.object]


async def test_the_schedule_collects_everything_without_being_asked(
    s3: SeaweedFS, tmp_path: Path, database_url: str, clock: MovableClock
) -> None:
    bucket = s3.make_bucket()
    async with running_storage(s3, tmp_path, database_url=database_url, bucket=bucket) as storage:
        await storage.upload(b"kept")
    stray(s3, bucket, b"stray")
    clock.moved = timedelta(days=8)
    settings = {"database_url": database_url, "bucket": bucket, "clock": clock, "collect_interval_s": 3600}
    async with running_storage(s3, tmp_path, **settings) as storage:  # type: ignore[arg-type]
        request = lro.ListOperationsRequest(name="projects/-")
        operator = storage.metadata(role=Role.OPERATOR)

        async def scheduled() -> bool:
            found = await storage.operations.ListOperations(request, metadata=operator)
            return len(found.operations) == 1

        await eventually(scheduled)
        [operation] = (await storage.operations.ListOperations(request, metadata=operator)).operations
        wait = lro.WaitOperationRequest(name=operation.name)
        done = await storage.operations.WaitOperation(wait, metadata=operator, timeout=30)
        answer = pb.CollectGarbageResponse()
        assert done.response.Unpack(answer)
        assert answer.orphans.count == 1
    assert len(s3.keys(bucket)) == 1
    s3.drop_bucket(bucket)
