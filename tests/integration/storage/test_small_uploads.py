"""What UploadBytes promises."""

import asyncio
import hashlib
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api import httpbody_pb2
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune.storage.v1 import storage_pb2_grpc
from visiontune_kit import errors
from visiontune_kit.identity import Role

from tests.support.eventually import eventually
from tests.support.s3 import SeaweedFS
from tests.support.storage import StorageHandle, running_storage

MIB = 1024 * 1024
HELLO = b"hello, bucket"
PNG = httpbody_pb2.HttpBody(content_type="image/png")


@pytest.fixture
async def storage(s3: SeaweedFS, tmp_path: Path) -> AsyncIterator[StorageHandle]:
    """Parts are small, so that a few MiB make several; quotas are 40 MiB."""
    async with running_storage(
        s3,
        tmp_path,
        single_part_limit_bytes=6 * MIB,
        part_size_bytes=5 * MIB,
        default_limit_bytes=40 * MIB,
        small_uploads_memory_bytes=48 * MIB,
        small_upload_timeout_s=2,
    ) as handle:
        yield handle


async def untouched(storage: StorageHandle, s3: SeaweedFS) -> bool:
    quota = await storage.quota()
    kept = (quota.used_bytes, quota.reserved_bytes, quota.object_count, quota.pending_upload_count)
    return kept == (0, 0, 0, 0) and not s3.keys(storage.bucket)


async def test_bytes_become_an_object_within_one_call(storage: StorageHandle) -> None:
    done = await storage.upload_bytes(
        HELLO[:5], HELLO[5:], filename="héllo.png", size_bytes=len(HELLO), body=PNG
    )
    assert (done.state, done.size_bytes) == (pb.Upload.STATE_COMPLETE, len(HELLO))
    assert not done.part_urls
    found = await storage.call("GetObject", pb.GetObjectRequest(name=done.object), role=Role.VIEWER)
    assert (found.filename, found.content_type) == ("héllo.png", "image/png")
    assert found.owner == done.name
    assert await storage.read(done.object) == HELLO
    quota = await storage.quota()
    assert (quota.used_bytes, quota.reserved_bytes, quota.object_count) == (len(HELLO), 0, 1)


async def test_a_file_above_the_size_of_a_part_goes_in_parts(storage: StorageHandle) -> None:
    content = os.urandom(11 * MIB + 3)
    done = await storage.upload_bytes(*(content[at : at + MIB] for at in range(0, len(content), MIB)))
    assert done.part_size_bytes == 5 * MIB
    assert await storage.read(done.object) == content


async def test_a_service_may_name_an_owner_and_a_user_may_not(storage: StorageHandle) -> None:
    owner = "projects/default/datasets/d/versions/v1"
    with pytest.raises(errors.PermissionDenied) as failure:
        await storage.upload_bytes(HELLO, owner=owner)
    assert failure.value.reason == "OwnerReserved"
    first = pb.UploadBytesRequest(
        parent="projects/default", filename="a", sha256=hashlib.sha256(HELLO).hexdigest(), owner=owner
    )
    token = storage.trust.service_tokens("dataset")(first)
    messages = [first, pb.UploadBytesRequest(body=httpbody_pb2.HttpBody(data=HELLO))]
    done = await storage.send(messages, metadata=[("authorization", f"Bearer {token}")])
    assert done.owner == owner


REFUSED: list[tuple[dict[str, Any], type[errors.Failure], str]] = [
    ({"sha256": "0" * 64}, errors.DataLoss, "DigestMismatch"),
    ({"size_bytes": 12}, errors.DataLoss, "SizeMismatch"),
    ({"size_bytes": 17 * MIB}, errors.InvalidArgument, "TooLargeForOneCall"),
    ({"body": httpbody_pb2.HttpBody(content_type="a\nb")}, errors.InvalidArgument, "ContentTypeInvalid"),
    ({"filename": "../evil"}, errors.InvalidArgument, "InvalidRequest"),
    ({"sha256": ""}, errors.InvalidArgument, "InvalidRequest"),
    ({"body": httpbody_pb2.HttpBody(data=b"early")}, errors.InvalidArgument, "InvalidRequest"),
    ({"parent": ""}, errors.PermissionDenied, "NoProject"),
    ({"parent": "projects/other"}, errors.NotFound, "ProjectNotFound"),
    ({"role": Role.VIEWER}, errors.PermissionDenied, "RoleTooLow"),
]


async def test_what_is_refused_leaves_nothing(storage: StorageHandle, s3: SeaweedFS) -> None:
    for fields, kind, reason in REFUSED:
        with pytest.raises(kind) as failure:
            await storage.upload_bytes(HELLO, **fields)
        assert failure.value.reason == reason
    with pytest.raises(errors.InvalidArgument) as failure:
        await storage.upload_bytes(*[bytes(MIB)] * 17)  # as it comes, since no size was told
    assert failure.value.reason == "TooLargeForOneCall"
    with pytest.raises(errors.InvalidArgument) as failure:
        await storage.upload_bytes()
    assert failure.value.reason == "FileEmpty"
    with pytest.raises(errors.InvalidArgument) as failure:
        await storage.send([], metadata=storage.metadata())
    assert failure.value.reason == "NoRequest"
    assert await untouched(storage, s3)


async def test_quotas_hold_and_never_by_a_byte_more(storage: StorageHandle) -> None:
    async def one() -> bool:
        try:
            await storage.upload_bytes(*[os.urandom(MIB)] * 6)
        except errors.ResourceExhausted:
            return False
        return True

    kept = await asyncio.gather(*(one() for _ in range(8)))  # 48 MiB into 40
    quota = await storage.quota()
    assert sum(kept) == 6
    assert (quota.used_bytes, quota.reserved_bytes) == (36 * MIB, 0)


async def test_whoever_leaves_in_the_middle_leaves_nothing(storage: StorageHandle, s3: SeaweedFS) -> None:
    async with grpc.aio.insecure_channel(storage.target) as channel:
        stub: Any = storage_pb2_grpc.StorageServiceStub(channel)
        call = stub.UploadBytes(metadata=storage.metadata())
        await call.write(pb.UploadBytesRequest(parent="projects/default", filename="a", sha256="0" * 64))
        for _ in range(3):
            await call.write(pb.UploadBytesRequest(body=httpbody_pb2.HttpBody(data=bytes(MIB))))
        call.cancel()
    await eventually(lambda: untouched(storage, s3))


async def test_who_is_slow_is_cut_off_and_who_is_too_much_waits(storage: StorageHandle) -> None:
    first = pb.UploadBytesRequest(parent="projects/default", filename="a", sha256="0" * 64)
    piece = pb.UploadBytesRequest(body=httpbody_pb2.HttpBody(data=bytes(MIB)))
    async with grpc.aio.insecure_channel(storage.target) as channel:
        stub: Any = storage_pb2_grpc.StorageServiceStub(channel)
        hurried = stub.UploadBytes(metadata=storage.metadata(), timeout=0.3)  # its own deadline
        await hurried.write(first)
        slow = [stub.UploadBytes(metadata=storage.metadata()) for _ in range(3)]
        for call in slow:
            for message in (first, *[piece] * 16):  # together all that the server holds
                await call.write(message)
        with pytest.raises(errors.Unavailable) as failure:
            await storage.upload_bytes(HELLO)
        assert failure.value.reason == "TooMuchInFlight"
        for call in (hurried, *slow):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await storage.upload_bytes(HELLO)


async def test_a_repeated_request_finds_the_first_upload(storage: StorageHandle) -> None:
    request_id = str(uuid.uuid4())
    first = await storage.upload_bytes(HELLO, request_id=request_id)
    assert await storage.upload_bytes(HELLO[:2], HELLO[2:], request_id=request_id) == first
    assert (await storage.quota()).object_count == 1
    with pytest.raises(errors.InvalidArgument) as failure:
        await storage.upload_bytes(b"other", request_id=request_id)
    assert failure.value.reason == "RequestIdReused"


async def test_a_repetition_of_what_failed_can_succeed(storage: StorageHandle) -> None:
    request_id, sha256 = str(uuid.uuid4()), hashlib.sha256(HELLO).hexdigest()
    with pytest.raises(errors.DataLoss):
        await storage.upload_bytes(HELLO[:-1], request_id=request_id, sha256=sha256)
    done = await storage.upload_bytes(HELLO, request_id=request_id)
    assert await storage.read(done.object) == HELLO
