"""What storage promises on a server that differs in all that S3 leaves open: rclone's.

It answers ranges with 200 and errors as text/xml, has plain md5 sums as ETags, takes parts of any size and
answers 400 to a URL that has expired. See docs/object-stores.md.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from google.protobuf.duration_pb2 import Duration
from visiontune import uploads
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune.trainer.v1 import trainer_pb2
from visiontune_dataset.adapters.http_file import HttpFile
from visiontune_kit import errors

from tests.contract.storage import test_objects, test_uploads
from tests.contract.storage.test_garbage import stray
from tests.integration.storage import test_small_uploads
from tests.support.clocks import MovableClock
from tests.support.s3 import Rclone
from tests.support.storage import StorageHandle, running_storage

MIB = 1024 * 1024
PARENT = "projects/default"

# The suite's own tests, with this module's `s3` and `storage`.
test_what_was_put_can_be_read_back = test_uploads.test_what_was_put_can_be_read_back
test_completing_twice_answers_the_same = test_uploads.test_completing_twice_answers_the_same
test_many_completions_at_once_make_one_object = test_uploads.test_many_completions_at_once_make_one_object
test_get_upload_tells_what_has_arrived = test_uploads.test_get_upload_tells_what_has_arrived_and_signs_afresh
test_an_upload_that_broke_off_is_resumed = (
    test_uploads.test_an_upload_that_broke_off_is_resumed_by_another_process
)
test_missing_parts_are_named = test_uploads.test_missing_parts_are_named_and_can_still_be_put
test_etags_that_the_caller_names_are_compared = test_uploads.test_etags_that_the_caller_names_are_compared
test_other_bytes_are_refused = test_uploads.test_other_bytes_are_refused_and_nothing_stays
test_aborting_frees_the_reservation = test_uploads.test_aborting_frees_the_reservation_and_can_be_repeated
test_verified_bytes_cannot_be_replaced = (
    test_uploads.test_verified_bytes_cannot_be_replaced_by_the_url_that_wrote_them
)
test_bytes_become_an_object_within_one_call = test_small_uploads.test_bytes_become_an_object_within_one_call
test_a_small_file_goes_in_parts = test_small_uploads.test_a_file_above_the_size_of_a_part_goes_in_parts
test_whoever_leaves_in_the_middle_leaves_nothing = (
    test_small_uploads.test_whoever_leaves_in_the_middle_leaves_nothing
)
test_deleting_frees_quota = test_objects.test_deleting_frees_quota_and_bytes_and_can_be_repeated
test_an_owner_takes_its_objects_along = test_objects.test_an_owner_takes_its_objects_and_pending_uploads_along


@pytest.fixture
def s3(rclone: Rclone) -> Rclone:
    return rclone


@pytest.fixture
async def storage(s3: Rclone, tmp_path: Path, clock: MovableClock) -> AsyncIterator[StorageHandle]:
    async with running_storage(
        s3,
        tmp_path,
        clock=clock,
        single_part_limit_bytes=6 * MIB,
        part_size_bytes=5 * MIB,
        default_limit_bytes=40 * MIB,
        sweep_interval_s=3600,
    ) as handle:
        yield handle


async def test_a_part_that_was_put_twice_counts_once(storage: StorageHandle) -> None:
    content = os.urandom(11 * MIB)
    upload = await storage.create(content)
    await storage.http.put(upload.part_urls[0].url, content=content[: 5 * MIB])
    await storage.put(upload, content)
    assert await storage.read((await storage.complete(upload.name)).object) == content


async def test_ranges_are_read_though_they_come_as_200(storage: StorageHandle, tmp_path: Path) -> None:
    content = bytes(range(256)) * 40
    done = await storage.upload(content)
    [url] = await storage.sign(done.object)
    answer = await storage.http.get(url, headers={"Range": "bytes=2-4"})
    assert (answer.status_code, answer.content) == (200, content[2:5])
    with httpx.Client() as http:
        file = HttpFile(http, url, len(content))
        file.seek(5000)
        assert await asyncio.to_thread(file.read, 100) == content[5000:5100]
        file.seek(0)
        assert await asyncio.to_thread(file.read, 10) == content[:10]
    artifact = trainer_pb2.ArtifactFile(path="f", url=url, size_bytes=len(content), sha256=done.sha256)
    [path] = await asyncio.to_thread(uploads.download, [artifact], tmp_path / "down")
    assert path.read_bytes() == content


async def test_a_url_is_good_for_what_was_signed_alone(storage: StorageHandle) -> None:
    first, second = await storage.upload(b"first"), await storage.upload(b"second")
    url, other = await storage.sign(first.object, second.object)
    query = url.partition("?")[2]
    for method, bent in (
        ("PUT", url),
        ("DELETE", url),
        ("GET", url.partition("?")[0]),
        ("GET", f"{other.partition('?')[0]}?{query}"),
        ("GET", url[:-1] + ("0" if url[-1] != "0" else "1")),
    ):
        answer = await storage.http.request(method, bent)
        assert answer.status_code in uploads.EXPIRED, (method, bent)
    assert await storage.read(first.object) == b"first"


async def test_an_expired_url_is_one_that_clients_sign_anew(storage: StorageHandle) -> None:
    done = await storage.upload(b"hello")
    request = pb.SignUrlsRequest(parent=PARENT, objects=[done.object], ttl=Duration(seconds=1))
    [short] = (await storage.call("SignUrls", request)).urls
    await asyncio.sleep(2.5)
    assert (await storage.http.get(short.url)).status_code in uploads.EXPIRED


async def test_garbage_goes_and_nothing_else(storage: StorageHandle, s3: Rclone, clock: MovableClock) -> None:
    kept, pending = await storage.upload(b"kept"), await storage.create(b"pending")
    await storage.put(pending, b"pending")
    stray(s3, storage.bucket, b"stray")
    clock.moved = timedelta(days=8)
    found = await storage.collect()
    assert (found.orphans.count, found.expired_uploads.count, found.missing.count) == (1, 1, 0)
    assert len(s3.keys(storage.bucket)) == 1
    clock.moved = timedelta()
    assert await storage.read(kept.object) == b"kept"
    with pytest.raises(errors.FailedPrecondition):
        await storage.complete(pending.name)
