"""What time does on its own: expiry, and deletions that were cut short."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from minio import Minio
from minio.error import InvalidResponseError
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune_kit import errors

from tests.support.clocks import MovableClock
from tests.support.s3 import SeaweedFS
from tests.support.storage import StorageHandle, running_storage

SETTINGS: dict[str, Any] = {
    "sweep_interval_s": 0.1,
    "upload_ttl_s": 3600,
    "upload_url_ttl_s": 600,
    "ended_upload_ttl_s": 7200,
}


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(100):
        if await holds():
            return
        await asyncio.sleep(0.05)
    pytest.fail("it did not become true within 5 s")


def unfinished(client: Minio, bucket: str) -> list[str]:
    return [str(upload.object_name) for upload in client._list_multipart_uploads(bucket).uploads]


async def state_of(storage: StorageHandle, name: str) -> str:
    upload = await storage.call("GetUpload", pb.GetUploadRequest(name=name))
    return pb.Upload.State.Name(upload.state)


async def test_an_upload_that_nobody_completes_expires_and_leaves_nothing(
    s3: SeaweedFS, tmp_path: Path
) -> None:
    clock = MovableClock()
    async with running_storage(s3, tmp_path, clock=clock, **SETTINGS) as storage:
        kept = await storage.upload(b"kept")
        put, empty = await storage.create(b"put"), await storage.create(b"empty")
        await storage.put(put, b"put")
        assert len(unfinished(s3.client(), storage.bucket)) == 2
        clock.moved = timedelta(minutes=59)
        await asyncio.sleep(0.3)
        assert await state_of(storage, put.name) == "STATE_PENDING"
        clock.moved = timedelta(minutes=61)

        async def both_expired() -> bool:
            return {await state_of(storage, put.name), await state_of(storage, empty.name)} == {
                "STATE_EXPIRED"
            }

        await eventually(both_expired)
        quota = await storage.quota()
        assert (quota.reserved_bytes, quota.used_bytes, quota.object_count) == (0, 4, 1)

        async def nothing_left() -> bool:
            return not unfinished(s3.client(), storage.bucket)

        await eventually(nothing_left)
        assert await storage.read(kept.object) == b"kept"
        with pytest.raises(errors.FailedPrecondition) as failure:
            await storage.complete(put.name)
        assert failure.value.metadata["state"] == "EXPIRED"


async def test_ended_uploads_are_forgotten_at_last_and_their_objects_stay(
    s3: SeaweedFS, tmp_path: Path
) -> None:
    clock = MovableClock()
    async with running_storage(s3, tmp_path, clock=clock, **SETTINGS) as storage:
        done = await storage.upload(b"kept")
        clock.moved = timedelta(hours=3)

        async def forgotten() -> bool:
            try:
                await state_of(storage, done.name)
            except errors.NotFound:
                return True
            return False

        await eventually(forgotten)
        assert len(s3.keys(storage.bucket)) == 1
        clock.moved = timedelta()
        assert await storage.read(done.object) == b"kept"


async def test_bytes_that_the_store_will_not_delete_hold_up_no_others(
    s3: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal stands at the process border: the client's answer for one key is another."""
    clock = MovableClock()
    async with running_storage(s3, tmp_path, clock=clock, **SETTINGS) as storage:
        stubborn = await storage.upload(b"stubborn")
        [refused_key] = s3.keys(storage.bucket)
        others = [await storage.upload(bytes([number])) for number in range(20)]
        remove = Minio.remove_object

        def refuse_one(client: Minio, bucket_name: str, object_name: str) -> None:
            if object_name == refused_key:
                raise InvalidResponseError(403, "text/plain", "kept by a lock")
            remove(client, bucket_name, object_name)

        monkeypatch.setattr(Minio, "remove_object", refuse_one)
        doomed = [stubborn.object, *(each.object for each in others)]
        request = pb.DeleteObjectsRequest(parent="projects/default", objects=doomed)
        await storage.call("DeleteObjects", request)

        async def only_that_one_is_left() -> bool:
            return s3.keys(storage.bucket) == [refused_key]

        await eventually(only_that_one_is_left)
        monkeypatch.setattr(Minio, "remove_object", remove)
        clock.moved = timedelta(minutes=11)

        async def nothing_is_left() -> bool:
            return not s3.keys(storage.bucket)

        await eventually(nothing_is_left)


async def test_bytes_that_arrive_after_the_abort_are_deleted_once_the_urls_are_dead(
    s3: SeaweedFS, tmp_path: Path
) -> None:
    clock = MovableClock()
    async with running_storage(s3, tmp_path, clock=clock, **SETTINGS) as storage:
        pending = await storage.create(b"late")
        [key] = unfinished(s3.client(), storage.bucket)
        await storage.call("AbortUpload", pb.AbortUploadRequest(name=pending.name))
        # A PUT that was on its way, as the store sees it: an upload to the same key that appears afterwards.
        s3.client()._create_multipart_upload(storage.bucket, key, {})
        await asyncio.sleep(0.3)
        assert unfinished(s3.client(), storage.bucket) == [key]
        clock.moved = timedelta(minutes=11)

        async def gone() -> bool:
            return not unfinished(s3.client(), storage.bucket)

        await eventually(gone)
