"""The object store goes away and comes back; nothing is lost and nobody is told INTERNAL."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune_kit import channels, errors

from tests.support.eventually import eventually
from tests.support.s3 import SeaweedFS
from tests.support.storage import StorageHandle, running_storage

pytestmark = pytest.mark.chaos


@pytest.fixture
async def own_s3(tmp_path: Path) -> AsyncIterator[SeaweedFS]:
    """A server that the test may kill."""
    server = SeaweedFS(tmp_path / "weed")
    await asyncio.to_thread(server.start)
    yield server
    server.kill()


async def expect_unavailable(storage: StorageHandle, method: str, request: object) -> None:
    """The client retries UNAVAILABLE itself, so this takes a few seconds, yet never its whole deadline."""
    started = time.monotonic()
    with pytest.raises(errors.Unavailable) as failure:
        await storage.call(method, request)
    assert failure.value.reason == "ObjectStoreUnavailable"
    assert time.monotonic() - started < 29


async def test_calls_are_unavailable_until_it_is_back(own_s3: SeaweedFS, tmp_path: Path) -> None:
    async with running_storage(
        own_s3, tmp_path, bucket="vision-training-datasets", sweep_interval_s=0.2
    ) as storage:
        kept, doomed = await storage.upload(b"kept"), await storage.upload(b"doomed")
        pending = await storage.create(b"pending")
        await storage.put(pending, b"pending")
        own_s3.kill()
        await expect_unavailable(storage, "CompleteUpload", pb.CompleteUploadRequest(name=pending.name))
        deleted = await storage.call(
            "DeleteObjects", pb.DeleteObjectsRequest(parent="projects/default", objects=[doomed.object])
        )
        assert deleted.deleted_count == 1  # the bytes follow when the store is back
        assert (await storage.quota()).used_bytes == 4
        await asyncio.to_thread(own_s3.start)
        done = await storage.complete(pending.name)
        assert await storage.read(done.object) == b"pending"
        assert await storage.read(kept.object) == b"kept"
        for _ in range(100):
            if len(own_s3.keys()) == 2:
                break
            await asyncio.sleep(0.1)
        assert len(own_s3.keys()) == 2


async def health_of(storage: StorageHandle) -> str:
    async with channels.connect(storage.target) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


async def test_the_service_is_not_ready_before_a_probe_came_back(own_s3: SeaweedFS, tmp_path: Path) -> None:
    own_s3.kill()
    async with running_storage(own_s3, tmp_path, bucket="made-later") as storage:
        await asyncio.sleep(1.0)
        assert await health_of(storage) == "NOT_SERVING"
        await asyncio.to_thread(own_s3.start)

        async def serving() -> bool:
            return await health_of(storage) == "SERVING"

        await eventually(serving, within_s=30)
        assert await storage.read((await storage.upload(b"hello")).object) == b"hello"
        own_s3.kill()
        assert await serving()  # what needs no bytes goes on
        assert (await storage.quota()).used_bytes == 5


async def test_the_service_starts_without_it_and_makes_the_bucket_when_it_comes(
    own_s3: SeaweedFS, tmp_path: Path
) -> None:
    own_s3.kill()
    async with running_storage(own_s3, tmp_path, bucket="made-later") as storage:
        assert (await storage.quota()).used_bytes == 0
        await asyncio.to_thread(own_s3.start)
        for _ in range(200):
            if own_s3.client().bucket_exists("made-later"):
                break
            await asyncio.sleep(0.1)
        done = await storage.upload(b"hello")
        assert await storage.read(done.object) == b"hello"


async def test_an_upload_reserved_while_it_was_away_can_be_put_later(
    own_s3: SeaweedFS, tmp_path: Path
) -> None:
    async with running_storage(own_s3, tmp_path, bucket="vision-training-datasets") as storage:
        request = pb.CreateUploadRequest(
            parent="projects/default",
            upload=pb.Upload(filename="a", size_bytes=5, sha256="0" * 64),
            request_id="6f0c2f3e-5a39-4d0e-9d0a-1f1f5a0c7f11",
        )
        own_s3.kill()
        await expect_unavailable(storage, "CreateUpload", request)
        assert (await storage.quota()).reserved_bytes == 5
        small: dict[str, Any] = {"request_id": "5d8d4b8e-6f0b-4a53-8d61-52a9d6a3f3c7"}
        with pytest.raises(errors.Unavailable):
            await storage.upload_bytes(b"small", **small)
        assert (await storage.quota()).reserved_bytes == 5  # nobody but the caller has those bytes
        await asyncio.to_thread(own_s3.start)
        upload = await storage.call("CreateUpload", request)
        assert (await storage.quota()).reserved_bytes == 5  # the same reservation, not a second one
        assert len(upload.part_urls) == 1
        assert await storage.read((await storage.upload_bytes(b"small", **small)).object) == b"small"
