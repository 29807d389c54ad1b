"""What uploads promise, on both databases."""

import asyncio
import hashlib
import os
import uuid
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from visiontune import uploads
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune_kit import errors
from visiontune_kit.identity import Role

from tests.support.s3 import SeaweedFS
from tests.support.storage import StorageHandle

MIB = 1024 * 1024
HELLO = b"hello, bucket"


async def get_upload(storage: StorageHandle, name: str) -> pb.Upload:
    upload: pb.Upload = await storage.call("GetUpload", pb.GetUploadRequest(name=name))
    return upload


async def abort(storage: StorageHandle, name: str) -> pb.Upload:
    upload: pb.Upload = await storage.call("AbortUpload", pb.AbortUploadRequest(name=name))
    return upload


async def test_what_was_put_can_be_read_back(storage: StorageHandle) -> None:
    done = await storage.upload(HELLO, filename="héllo.txt", content_type="text/plain")
    assert done.state == pb.Upload.STATE_COMPLETE
    assert not done.part_urls
    assert await storage.read(done.object) == HELLO
    found = await storage.call("GetObject", pb.GetObjectRequest(name=done.object), role=Role.VIEWER)
    assert (found.filename, found.size_bytes, found.content_type) == ("héllo.txt", len(HELLO), "text/plain")
    assert found.sha256 == hashlib.sha256(HELLO).hexdigest()


async def test_a_large_file_goes_in_equal_parts(storage: StorageHandle) -> None:
    content = os.urandom(11 * MIB + 3)
    upload = await storage.create(content)
    assert upload.part_size_bytes == 5 * MIB
    assert [part.part_number for part in upload.part_urls] == [1, 2, 3]
    await storage.put(upload, content)
    done = await storage.complete(upload.name)
    assert await storage.read(done.object) == content


async def test_the_keys_of_the_bucket_hold_the_project_and_nothing_of_the_filename(
    storage: StorageHandle, s3: SeaweedFS
) -> None:
    await storage.upload(HELLO, filename="größe ü.bin")
    [key] = s3.keys(storage.bucket)
    assert key.isascii()
    assert key.startswith("default/")
    assert "bin" not in key


async def test_a_repeated_create_finds_the_first_upload(storage: StorageHandle) -> None:
    request = pb.CreateUploadRequest(
        parent="projects/default",
        upload=pb.Upload(filename="a", size_bytes=10, sha256="0" * 64),
        request_id=str(uuid.uuid4()),
    )
    first = await storage.call("CreateUpload", request)
    again = await storage.call("CreateUpload", request)
    assert first.name == again.name
    assert (await storage.quota()).reserved_bytes == 10


async def test_completing_twice_answers_the_same(storage: StorageHandle) -> None:
    done = await storage.upload(HELLO)
    again = await storage.complete(done.name)
    assert again == done
    assert (await storage.quota()).object_count == 1


async def test_many_completions_at_once_make_one_object(storage: StorageHandle) -> None:
    upload = await storage.create(HELLO)
    await storage.put(upload, HELLO)
    answers = await asyncio.gather(*(storage.complete(upload.name) for _ in range(8)))
    assert {answer.object for answer in answers} == {answers[0].object}
    quota = await storage.quota()
    assert (quota.object_count, quota.used_bytes, quota.reserved_bytes) == (1, len(HELLO), 0)


async def test_get_upload_tells_what_has_arrived_and_signs_afresh(storage: StorageHandle) -> None:
    content = os.urandom(11 * MIB)
    upload = await storage.create(content)
    await storage.http.put(upload.part_urls[1].url, content=content[5 * MIB : 10 * MIB])
    seen = await get_upload(storage, upload.name)
    assert [(part.part_number, part.size_bytes) for part in seen.received_parts] == [(2, 5 * MIB)]
    assert len(seen.part_urls) == 3
    missing = pb.Upload(
        part_size_bytes=seen.part_size_bytes, part_urls=[seen.part_urls[0], seen.part_urls[2]]
    )
    await storage.put(missing, content)
    assert await storage.read((await storage.complete(upload.name)).object) == content


class Bridge:
    """What the SDK's upload asks its client, asked of the service itself from the SDK's thread."""

    def __init__(self, storage: StorageHandle) -> None:
        self._storage, self._loop = storage, asyncio.get_running_loop()

    def get_upload(self, name: str) -> pb.Upload:
        return self._wait(get_upload(self._storage, name))

    def complete_upload(self, name: str, parts: list[pb.Part]) -> pb.Upload:
        named = {part.part_number: part.etag for part in parts}
        return self._wait(self._storage.complete(name, parts=named))

    def _wait(self, call: Coroutine[Any, Any, pb.Upload]) -> pb.Upload:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result(60)


async def test_an_upload_that_broke_off_is_resumed_by_another_process(
    storage: StorageHandle, tmp_path: Path
) -> None:
    content = os.urandom(11 * MIB)
    path = tmp_path / "large.bin"
    path.write_bytes(content)
    begun = await storage.create(content)
    cut = begun.part_urls[0].url  # of which half arrives, and then the connection breaks
    with pytest.raises(httpx.TransportError):
        await storage.http.put(
            cut, content=_broken(content[: 2 * MIB]), headers={"Content-Length": f"{5 * MIB}"}
        )
    await storage.http.put(begun.part_urls[1].url, content=content[5 * MIB : 10 * MIB])
    moved: list[int] = []
    done = await asyncio.to_thread(
        uploads.upload,
        cast("Any", Bridge(storage)),
        path,
        resume=begun.name,
        progress=lambda done, _total: moved.append(done),
    )
    assert min(moved) >= 5 * MIB  # the part that had arrived is not sent again
    assert await storage.read(done.object) == content


async def _broken(content: bytes) -> AsyncIterator[bytes]:
    yield content
    raise httpx.WriteError("the line is cut")


async def test_missing_parts_are_named_and_can_still_be_put(storage: StorageHandle) -> None:
    content = os.urandom(11 * MIB)
    upload = await storage.create(content)
    await storage.http.put(upload.part_urls[1].url, content=content[5 * MIB : 10 * MIB])
    with pytest.raises(errors.FailedPrecondition, match="1, 3") as failure:
        await storage.complete(upload.name)
    assert failure.value.reason == "PartsMissing"
    await storage.put(upload, content)
    assert (await storage.complete(upload.name)).state == pb.Upload.STATE_COMPLETE


async def test_nothing_put_is_a_missing_part(storage: StorageHandle) -> None:
    upload = await storage.create(HELLO)
    with pytest.raises(errors.FailedPrecondition) as failure:
        await storage.complete(upload.name)
    assert failure.value.reason == "PartsMissing"


async def test_etags_that_the_caller_names_are_compared(storage: StorageHandle) -> None:
    upload = await storage.create(HELLO)
    answer = await storage.http.put(upload.part_urls[0].url, content=HELLO)
    with pytest.raises(errors.FailedPrecondition) as failure:
        await storage.complete(upload.name, parts={1: "f" * 32})
    assert failure.value.reason == "PartMismatch"
    done = await storage.complete(upload.name, parts={1: answer.headers["etag"]})
    assert done.state == pb.Upload.STATE_COMPLETE


async def test_a_part_named_twice_is_refused(storage: StorageHandle) -> None:
    upload = await storage.create(HELLO)
    parts = [pb.Part(part_number=1, etag="a"), pb.Part(part_number=1, etag="b")]
    with pytest.raises(errors.InvalidArgument) as failure:
        await storage.call("CompleteUpload", pb.CompleteUploadRequest(name=upload.name, parts=parts))
    assert failure.value.reason == "PartTwice"


@pytest.mark.parametrize("sent", [HELLO[:-1], HELLO + b"!", HELLO * 1000])
async def test_another_size_is_refused_and_nothing_stays(
    storage: StorageHandle, s3: SeaweedFS, sent: bytes
) -> None:
    upload = await storage.create(HELLO)
    assert (await storage.http.put(upload.part_urls[0].url, content=sent)).status_code == 200
    with pytest.raises(errors.DataLoss, match=f"{len(HELLO)} bytes were declared, {len(sent):,}") as failure:
        await storage.complete(upload.name)
    assert failure.value.reason == "SizeMismatch"
    assert failure.value.metadata["found_bytes"] == str(len(sent))
    await assert_nothing_stays(storage, s3, upload.name)


async def test_other_bytes_are_refused_and_nothing_stays(storage: StorageHandle, s3: SeaweedFS) -> None:
    content = os.urandom(11 * MIB)
    upload = await storage.create(content)
    await storage.put(upload, content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(errors.DataLoss) as failure:
        await storage.complete(upload.name)
    assert failure.value.reason == "DigestMismatch"
    assert failure.value.metadata["declared_sha256"] == hashlib.sha256(content).hexdigest()
    await assert_nothing_stays(storage, s3, upload.name)


async def assert_nothing_stays(storage: StorageHandle, s3: SeaweedFS, name: str) -> None:
    assert (await get_upload(storage, name)).state == pb.Upload.STATE_ABORTED
    quota = await storage.quota()
    assert (quota.used_bytes, quota.reserved_bytes, quota.object_count) == (0, 0, 0)
    assert s3.keys(storage.bucket) == []
    with pytest.raises(errors.FailedPrecondition) as failure:
        await storage.complete(name)
    assert failure.value.reason == "UploadNotPending"


async def test_a_small_part_in_the_middle_is_explained(storage: StorageHandle) -> None:
    content = os.urandom(11 * MIB)
    upload = await storage.create(content)
    # The sum is right, but S3 wants at least 5 MiB in each part but the last.
    for part, (start, end) in zip(upload.part_urls, [(0, 1), (1, 6), (6, 11)], strict=True):
        await storage.http.put(part.url, content=content[start * MIB : end * MIB])
    with pytest.raises(errors.FailedPrecondition) as failure:
        await storage.complete(upload.name)
    assert failure.value.reason == "PartTooSmall"
    etags = await storage.put(upload, content)
    assert (await storage.complete(upload.name, parts=etags)).state == pb.Upload.STATE_COMPLETE


async def test_aborting_frees_the_reservation_and_can_be_repeated(
    storage: StorageHandle, s3: SeaweedFS
) -> None:
    upload = await storage.create(HELLO)
    await storage.put(upload, HELLO)
    assert (await abort(storage, upload.name)).state == pb.Upload.STATE_ABORTED
    assert (await abort(storage, upload.name)).state == pb.Upload.STATE_ABORTED
    assert (await storage.quota()).reserved_bytes == 0
    assert s3.keys(storage.bucket) == []
    assert (await storage.http.put(upload.part_urls[0].url, content=HELLO)).status_code in {403, 404}
    seen = await get_upload(storage, upload.name)
    assert (seen.state, len(seen.part_urls)) == (pb.Upload.STATE_ABORTED, 0)


async def test_what_is_complete_cannot_be_aborted(storage: StorageHandle) -> None:
    done = await storage.upload(HELLO)
    with pytest.raises(errors.FailedPrecondition) as failure:
        await abort(storage, done.name)
    assert failure.value.reason == "UploadComplete"
    assert await storage.read(done.object) == HELLO


async def test_verified_bytes_cannot_be_replaced_by_the_url_that_wrote_them(storage: StorageHandle) -> None:
    upload = await storage.create(HELLO)
    await storage.put(upload, HELLO)
    done = await storage.complete(upload.name)
    assert (await storage.http.put(upload.part_urls[0].url, content=b"evil bytes!!!")).status_code in {
        403,
        404,
    }
    assert await storage.read(done.object) == HELLO


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"filename": "../x"}, "upload.filename"),
        ({"filename": ""}, "upload.filename"),
        ({"size_bytes": 0}, "upload.size_bytes"),
        ({"sha256": "abc"}, "upload.sha256"),
        ({"sha256": "A" * 64}, "upload.sha256"),
        ({"owner": "projects/other/datasets/d"}, "upload.owner"),
        ({"content_type": "text/plain\r\nx-evil: 1"}, "upload.content_type"),
    ],
)
async def test_a_bad_field_is_named(storage: StorageHandle, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(errors.InvalidArgument) as failure:
        await storage.create(HELLO, **fields)
    assert failure.value.violations[0].field == field


@pytest.mark.parametrize(
    "name", ["projects/default/uploads/u-none", "projects/other/uploads/u-none", "projects/other/objects/o"]
)
async def test_an_absent_upload_is_not_found(storage: StorageHandle, name: str) -> None:
    with pytest.raises((errors.NotFound, errors.InvalidArgument)):
        await get_upload(storage, name)
