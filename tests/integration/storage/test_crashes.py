"""`kill -9` of the service at every point that matters: nothing is lost, nothing is left behind."""

import asyncio
import hashlib
import os
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.api import httpbody_pb2
from sqlalchemy import text
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune.storage.v1 import storage_pb2_grpc
from visiontune_kit import channels, errors
from visiontune_kit.database import Database

from tests.support import databases, trust
from tests.support.s3 import SeaweedFS

pytestmark = pytest.mark.chaos

# One of them runs with every `make test`; each starts the program twice.
POINTS = [
    "complete_upload.assembled",
    *(
        pytest.param(point, marks=pytest.mark.slow)
        for point in (
            "create_upload.reserved",
            "create_upload.started",
            "complete_upload.verified",
            "delete_objects.committed",
            "garbage.deleted",
        )
    ),
]
CONTENT = b"bytes that must survive"


@dataclass
class Program:
    """The real program as a child process, over one database and one bucket."""

    folder: Path
    trusted: trust.Trust
    environment: dict[str, str]

    @asynccontextmanager
    async def running(self, fault: str = "") -> AsyncIterator[Any]:
        """Yields a stub; the program may die inside the block. Ends it in any case."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "visiontune_storage"),
            cwd=self.folder,
            env={**os.environ, **self.environment, "VISIONTUNE_FAULT": fault},
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            port = await self._port(process.stdout)
            drain = asyncio.create_task(process.stdout.read())
            # Without retries, so that the test sees the crash at once.
            options = [("grpc.enable_retries", 0)]
            async with channels.connect(f"127.0.0.1:{port}", options=options) as channel:
                yield storage_pb2_grpc.StorageServiceStub(channel)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await drain

    @staticmethod
    async def _port(lines: asyncio.StreamReader) -> str:
        async with asyncio.timeout(60):
            async for line in lines:
                if b"server_started" in line:
                    return line.decode().split('"port": ')[1].split(",")[0].rstrip("}\n ")
        raise AssertionError("it ended before it served")


@pytest.fixture
def program(s3: SeaweedFS, tmp_path: Path) -> Program:
    trusted = trust.make(tmp_path / "keys")
    environment = {
        **s3.environment(s3.make_bucket()),
        "VISIONTUNE_STORAGE_DATABASE_URL": databases.migrated_in(tmp_path, "storage"),
        "VISIONTUNE_ISSUERS_FILE": str(trusted.issuers_file),
        "VISIONTUNE_STORAGE_SWEEP_INTERVAL_S": "0.2",
        "VISIONTUNE_STORAGE_PORT": "0",
    }
    return Program(tmp_path, trusted, environment)


async def walk(stub: Any, metadata: Any, request_id: str) -> str:
    """Uploads, then uploads and deletes another; every step is what a client repeats after a crash."""
    upload = pb.Upload(
        filename="f",
        size_bytes=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )
    request = pb.CreateUploadRequest(parent="projects/p", upload=upload, request_id=request_id)
    created = await stub.CreateUpload(request, metadata=metadata, timeout=5)
    current = await stub.GetUpload(pb.GetUploadRequest(name=created.name), metadata=metadata, timeout=5)
    async with httpx.AsyncClient() as http:
        for part in current.part_urls:
            answer = await http.put(part.url, content=CONTENT)
            assert answer.status_code in {200, 404}  # 404: assembled by the call that died
    done = await stub.CompleteUpload(
        pb.CompleteUploadRequest(name=created.name), metadata=metadata, timeout=5
    )
    return str(done.object)


async def forget_calls_in_flight(program: Program) -> None:
    """As if a minute had passed: calls without an answer are then taken to have died with their server."""
    database = Database.open(program.environment["VISIONTUNE_STORAGE_DATABASE_URL"])
    async with database.session() as session:
        await session.execute(text("UPDATE requests SET create_time = '2020-01-01 00:00:00.000000'"))
        await session.commit()
    await database.close()


async def delete(stub: Any, metadata: Any, name: str) -> None:
    request = pb.DeleteObjectsRequest(parent="projects/p", objects=[name])
    await stub.DeleteObjects(request, metadata=metadata, timeout=5)


async def everything(stub: Any, metadata: Any, ids: list[str]) -> str:
    kept = await walk(stub, metadata, ids[0])
    await delete(stub, metadata, await walk(stub, metadata, ids[1]))
    return kept


@pytest.mark.parametrize("point", POINTS)
async def test_a_client_that_repeats_itself_gets_through(program: Program, s3: SeaweedFS, point: str) -> None:
    metadata = program.trusted.metadata("p")
    ids = [str(uuid.uuid4()), str(uuid.uuid4())]
    async with program.running(fault=f"{point}:kill@1") as stub:
        with pytest.raises(errors.Failure):
            await everything(stub, metadata, ids)
    await forget_calls_in_flight(program)
    async with program.running() as stub:
        kept = await everything(stub, metadata, ids)
        quota = await stub.GetQuota(pb.GetQuotaRequest(name="projects/p/quota"), metadata=metadata)
        assert (quota.used_bytes, quota.reserved_bytes, quota.object_count) == (len(CONTENT), 0, 1)
        signed = await stub.SignUrls(
            pb.SignUrlsRequest(parent="projects/p", objects=[kept]), metadata=metadata
        )
        async with httpx.AsyncClient() as http:
            assert (await http.get(signed.urls[0].url)).content == CONTENT
        await assert_keys(program, s3, 1)


@pytest.mark.slow
async def test_a_small_upload_that_is_repeated_after_a_crash_is_one(program: Program, s3: SeaweedFS) -> None:
    metadata = program.trusted.metadata("p")
    first = pb.UploadBytesRequest(
        parent="projects/p",
        filename="f",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        request_id=str(uuid.uuid4()),
    )
    messages = [first, pb.UploadBytesRequest(body=httpbody_pb2.HttpBody(data=CONTENT))]
    async with program.running(fault="upload_bytes.put:kill@1") as stub:
        with pytest.raises(errors.Failure):
            await stub.UploadBytes(iter(messages), metadata=metadata, timeout=5)
    await forget_calls_in_flight(program)
    async with program.running() as stub:
        await stub.UploadBytes(iter(messages), metadata=metadata, timeout=5)
        quota = await stub.GetQuota(pb.GetQuotaRequest(name="projects/p/quota"), metadata=metadata)
        assert (quota.used_bytes, quota.reserved_bytes, quota.object_count) == (len(CONTENT), 0, 1)
        await assert_keys(program, s3, 1)


@pytest.mark.slow
@pytest.mark.parametrize("point", ["create_upload.started", "complete_upload.assembled"])
async def test_of_a_client_that_never_comes_back_nothing_stays(
    program: Program, s3: SeaweedFS, point: str
) -> None:
    metadata = program.trusted.metadata("p")
    program.environment["VISIONTUNE_STORAGE_UPLOAD_TTL_S"] = "4"
    program.environment["VISIONTUNE_STORAGE_UPLOAD_URL_TTL_S"] = "4"
    async with program.running(fault=f"{point}:kill@1") as stub:
        with pytest.raises(errors.Failure):
            await everything(stub, metadata, [str(uuid.uuid4()), str(uuid.uuid4())])
    async with program.running() as stub:
        for _ in range(150):
            quota = await stub.GetQuota(pb.GetQuotaRequest(name="projects/p/quota"), metadata=metadata)
            if quota.reserved_bytes == 0:
                break
            await asyncio.sleep(0.1)
        assert (quota.used_bytes, quota.reserved_bytes, quota.object_count) == (0, 0, 0)
        await assert_keys(program, s3, 0)


async def assert_keys(program: Program, s3: SeaweedFS, count: int) -> None:
    """The bucket holds so many objects, and soon no unfinished upload."""
    bucket = program.environment["VISIONTUNE_STORAGE_BUCKET"]
    client = s3.client()
    for _ in range(100):
        keys, unfinished = s3.keys(bucket), client._list_multipart_uploads(bucket).uploads
        if len(keys) == count and not unfinished:
            return
        await asyncio.sleep(0.1)
    pytest.fail(
        f"left behind: objects {keys}, unfinished uploads {[each.object_name for each in unfinished]}"
    )
