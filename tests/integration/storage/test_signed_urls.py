"""What a signed URL is good for, asked of a real S3 server."""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from google.protobuf.duration_pb2 import Duration
from visiontune.storage.v1 import storage_pb2 as pb

from tests.support import proxies
from tests.support.s3 import SeaweedFS
from tests.support.storage import StorageHandle, running_storage

MIB = 1024 * 1024
REFUSED = 403


class ShiftedClock:
    """A clock that is wrong by a fixed amount."""

    def __init__(self, shift: timedelta) -> None:
        self._shift = shift

    def now(self) -> datetime:
        return datetime.now(UTC) + self._shift


async def test_a_read_url_reads_ranges_and_nothing_else(storage: StorageHandle) -> None:
    first, second = await storage.upload(b"0123456789"), await storage.upload(b"another")
    url, other = await storage.sign(first.object, second.object)
    http = storage.http
    part = await http.get(url, headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")
    assert (await http.put(url, content=b"x")).status_code == REFUSED
    assert (await http.delete(url)).status_code == REFUSED
    query = urlsplit(url).query
    assert (await http.get(f"{other.partition('?')[0]}?{query}")).status_code == REFUSED
    assert (await http.get(url.partition("?")[0])).status_code == REFUSED
    signature = parse_qs(query)["X-Amz-Signature"][0]
    forged = signature[:-1] + ("0" if signature[-1] != "0" else "1")
    assert (await http.get(url.replace(signature, forged))).status_code == REFUSED
    assert (await http.get(url.replace("X-Amz-Expires=", "X-Amz-Expires=9"))).status_code == REFUSED
    assert await storage.read(first.object) == b"0123456789"


async def test_a_part_url_writes_its_part_and_nothing_else(storage: StorageHandle) -> None:
    upload, other = await storage.create(b"hello"), await storage.create(b"other")
    [part], [of_other] = upload.part_urls, other.part_urls
    path, query = urlsplit(part.url).path, parse_qs(urlsplit(part.url).query)
    signature, upload_id = query["X-Amz-Signature"][0], query["uploadId"][0]
    others_id = parse_qs(urlsplit(of_other.url).query)["uploadId"][0]
    changed = {
        "another part": part.url.replace("partNumber=1", "partNumber=2"),
        "another key": part.url.replace(path, path + "0"),
        "another object": part.url.replace(path, urlsplit(of_other.url).path),
        "another upload": part.url.replace(upload_id, others_id),
        "a plain object": part.url.replace(f"&uploadId={upload_id}", "").replace("&partNumber=1", ""),
        "a forged signature": part.url.replace(signature, signature[::-1]),
        "a later end": part.url.replace("X-Amz-Expires=", "X-Amz-Expires=9"),
        "no signature": f"{part.url.partition('?')[0]}?partNumber=1&uploadId={upload_id}",
    }
    for what, url in changed.items():
        assert url != part.url
        assert (await storage.http.put(url, content=b"x")).status_code == REFUSED, what
    for method in ("GET", "HEAD", "POST", "DELETE"):
        assert (await storage.http.request(method, part.url)).status_code == REFUSED, method
    for name in (upload.name, other.name):
        seen = await storage.call("GetUpload", pb.GetUploadRequest(name=name))
        assert not seen.received_parts
    await storage.put(upload, b"hello")
    assert await storage.read((await storage.complete(upload.name)).object) == b"hello"


async def test_urls_end(s3: SeaweedFS, tmp_path: Path) -> None:
    async with running_storage(s3, tmp_path, upload_url_ttl_s=1) as storage:
        done = await storage.upload(b"hello")
        pending = await storage.create(b"hello")
        request = pb.SignUrlsRequest(
            parent="projects/default", objects=[done.object], ttl=Duration(seconds=1)
        )
        answer = await storage.call("SignUrls", request)
        await asyncio.sleep(2.5)
        assert (await storage.http.get(answer.urls[0].url)).status_code == REFUSED
        assert (await storage.http.put(pending.part_urls[0].url, content=b"hello")).status_code == REFUSED
        fresh = await storage.call("GetUpload", pb.GetUploadRequest(name=pending.name))
        await storage.put(fresh, b"hello")
        assert (await storage.complete(pending.name)).state == pb.Upload.STATE_COMPLETE


@pytest.mark.parametrize("minutes", [-10, 4])
async def test_clocks_may_differ(s3: SeaweedFS, tmp_path: Path, minutes: int) -> None:
    clock = ShiftedClock(timedelta(minutes=minutes))
    async with running_storage(s3, tmp_path, clock=clock) as storage:
        done = await storage.upload(b"hello")
        assert await storage.read(done.object) == b"hello"


async def test_the_host_that_clients_reach_is_the_one_that_is_signed(s3: SeaweedFS, tmp_path: Path) -> None:
    public = s3.endpoint.replace("127.0.0.1", "localhost")
    async with running_storage(s3, tmp_path, s3_public_endpoint=public) as storage:
        done = await storage.upload(b"hello")
        [url] = await storage.sign(done.object)
        assert urlsplit(url).netloc == public
        assert (await storage.http.get(url)).content == b"hello"


async def test_s3_may_begin_at_a_path(s3: SeaweedFS, tmp_path: Path) -> None:
    """As Supabase's does. The path is part of what is signed, and SeaweedFS checks that it is."""
    with proxies.below("/storage/v1/s3", s3.endpoint) as host:
        async with running_storage(s3, tmp_path, s3_endpoint=f"{host}/storage/v1/s3") as storage:
            content = bytes(range(256)) * 40_000
            done = await storage.upload(content, filename="a b.bin")
            [url] = await storage.sign(done.object)
            assert url.startswith(f"http://{host}/storage/v1/s3/")
            assert (await storage.http.get(url)).content == content
            # By the path of another, or none, it opens nothing.
            for other in ("/storage/v2/s3/", "/"):
                changed = url.replace("/storage/v1/s3/", other)
                assert (await storage.http.get(changed)).status_code in {403, 404}
            direct = url.replace(f"{host}/storage/v1/s3", s3.endpoint)
            assert (await storage.http.get(direct, headers={"Host": host})).status_code == 403


async def test_bytes_go_by_the_public_endpoint_and_the_services_own_calls_do_not(
    s3: SeaweedFS, tmp_path: Path
) -> None:
    with proxies.wire(int(s3.endpoint.partition(":")[2])) as wire:
        async with running_storage(s3, tmp_path, s3_public_endpoint=wire.endpoint) as storage:
            pending = await storage.create(b"hello" * 1000)
            assert wire.passed_bytes == 0
            await storage.put(pending, b"hello" * 1000)
            sent = wire.passed_bytes
            assert sent > 5000
            done = await storage.complete(pending.name)
            assert wire.passed_bytes == sent
            assert await storage.read(done.object) == b"hello" * 1000
            assert wire.passed_bytes > sent


async def test_what_was_read_may_be_kept_by_its_reader_alone(storage: StorageHandle) -> None:
    [url] = await storage.sign((await storage.upload(b"hello")).object)
    answer = await storage.http.get(url, headers={"Range": "bytes=1-2"})
    assert (answer.status_code, answer.content) == (206, b"el")
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    shared = url.replace("private", "public")
    assert shared != url
    assert (await storage.http.get(shared)).status_code == REFUSED


async def test_browsers_may_use_them(storage: StorageHandle) -> None:
    upload = await storage.create(b"hello")
    answer = await storage.http.options(
        upload.part_urls[0].url,
        headers={
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "content-md5",
        },
    )
    assert "PUT" in answer.headers["access-control-allow-methods"]
    assert "etag" in answer.headers["access-control-expose-headers"].lower().split(", ")


_RESUME = """
import asyncio, sys
import httpx
from visiontune.storage.v1 import storage_pb2 as pb, storage_pb2_grpc
from visiontune_kit import channels

async def resume(target, token, name, path):
    metadata = [("authorization", f"Bearer {token}")]
    async with channels.connect(target) as channel, httpx.AsyncClient() as http:
        stub = storage_pb2_grpc.StorageServiceStub(channel)
        upload = await stub.GetUpload(pb.GetUploadRequest(name=name), metadata=metadata)
        there = {part.part_number for part in upload.received_parts}
        with open(path, "rb") as file:
            for part in upload.part_urls:
                if part.part_number not in there:
                    file.seek((part.part_number - 1) * upload.part_size_bytes)
                    (await http.put(part.url, content=file.read(upload.part_size_bytes))).raise_for_status()
        done = await stub.CompleteUpload(pb.CompleteUploadRequest(name=name), metadata=metadata)
        print(len(there), done.object)

asyncio.run(resume(*sys.argv[1:]))
"""


async def test_another_process_goes_on_where_the_first_stopped(s3: SeaweedFS, tmp_path: Path) -> None:
    content = os.urandom(16 * MIB)
    (tmp_path / "content").write_bytes(content)
    settings: dict[str, Any] = {"single_part_limit_bytes": 5 * MIB, "part_size_bytes": 5 * MIB}
    async with running_storage(s3, tmp_path, **settings) as storage:
        upload = await storage.create(content)
        part = upload.part_urls[2]
        await storage.http.put(part.url, content=content[10 * MIB : 15 * MIB])
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _RESUME),
            *(storage.target, storage.trust.user_token(), upload.name, str(tmp_path / "content")),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        already_there, name = output.decode().split()
        assert already_there == "1"
        assert await storage.read(name) == content
