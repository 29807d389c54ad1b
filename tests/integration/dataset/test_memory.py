"""The memory of an import does not grow with its archive."""

import asyncio
import hashlib
import io
import json
import os
import sys
import tarfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

import httpx
import pytest
from google.longrunning import operations_pb2_grpc
from visiontune.dataset.v1 import dataset_pb2
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune.storage.v1 import storage_pb2_grpc
from visiontune_kit import channels

from tests.support import archives, databases, trust
from tests.support.dataset import DatasetHandle, connected, version_of
from tests.support.s3 import SeaweedFS
from tests.support.storage import StorageHandle

MIB = 1024 * 1024
IMAGES = 10_000  # as many as a version may have
ARCHIVE_BYTES = 2048 * MIB  # at least
MOST_ABOVE_IDLE_MIB = 400
SAMPLE_EVERY_S = 0.1
PICTURE_PX = (500, 362)  # of noise: about 216 KB
PICTURES = 16  # drawn; each file is one of them with its number in a comment
IMPORT_WITHIN_S = 1_200.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]


async def test_two_gibibytes_take_less_than_400_mib(s3: SeaweedFS, tmp_path: Path) -> None:
    archive = tmp_path / "large.tar"
    write_archive(archive)
    assert archive.stat().st_size >= ARCHIVE_BYTES
    async with services(s3, tmp_path) as (service, pids):
        dataset = await service.create()
        async with Memory(pids) as memory:
            upload = await upload_file(service.storage, archive)
            archive.unlink()
            request = dataset_pb2.ImportVersionRequest(parent=dataset.name, upload=upload.name)
            operation = await service.call("ImportVersion", request)
            version = version_of(await service.ended(operation, IMPORT_WITHIN_S))
    assert version.image_count == version.example_count == IMAGES
    print(memory)
    assert memory.above_idle_mib < MOST_ABOVE_IDLE_MIB, memory


class Memory:
    """The most that these processes and all below them held at once, sampled in a thread."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = tuple(pids)
        self._ended = asyncio.Event()
        self.idle_bytes = self.peak_bytes = 0

    @property
    def above_idle_mib(self) -> float:
        return (self.peak_bytes - self.idle_bytes) / MIB

    def __str__(self) -> str:
        return f"{self.above_idle_mib:.0f} MiB above {self.idle_bytes / MIB:.0f} MiB idle"

    async def __aenter__(self) -> "Memory":
        self.idle_bytes = await asyncio.to_thread(self._sum)
        self._sampling = asyncio.create_task(self._sample())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ended.set()
        await self._sampling

    async def _sample(self) -> None:
        while not self._ended.is_set():
            self.peak_bytes = max(self.peak_bytes, await asyncio.to_thread(self._sum))
            await asyncio.sleep(SAMPLE_EVERY_S)

    def _sum(self) -> int:
        return sum(proportional_bytes(pid) for top in self._pids for pid in (top, *descendants(top)))


def descendants(pid: int) -> Iterator[int]:
    """Processes below `pid`: the fork server, the import and those that decode for it."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue  # it has ended meanwhile
        for child in map(int, children):
            yield child
            yield from descendants(child)


def proportional_bytes(pid: int) -> int:
    """What a process holds, pages that it shares divided by their users."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def write_archive(path: Path) -> None:
    """Writes a llava dataset, a picture at a time."""
    pictures = [archives.noise(seed, PICTURE_PX) for seed in range(PICTURES)]
    records = b"".join(json.dumps(archives.numbered_record(n)).encode() + b"\n" for n in range(IMAGES))
    with tarfile.open(path, "w") as archive:
        _add(archive, "train.jsonl", records)
        for number in range(IMAGES):
            _add(archive, archives.image_name(number), commented(pictures[number % PICTURES], number))


def commented(jpeg: bytes, number: int) -> bytes:
    """The same picture in other bytes."""
    text = str(number).encode()
    return jpeg[:2] + b"\xff\xfe" + (2 + len(text)).to_bytes(2, "big") + text + jpeg[2:]


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    archive.addfile(archives.tar_header(name, data), io.BytesIO(data))


async def upload_file(storage: StorageHandle, path: Path) -> pb.Upload:
    """Uploads a file in parts, of which one at a time is in memory."""
    with path.open("rb") as file:
        digest = await asyncio.to_thread(hashlib.file_digest, file, "sha256")
        size_bytes = file.seek(0, io.SEEK_END)
        upload = await storage.create(
            b"", filename=path.name, size_bytes=size_bytes, sha256=digest.hexdigest()
        )
        assert len(upload.part_urls) > 1
        for part in upload.part_urls:
            await put_part(storage, upload, part, file)
    request = pb.CompleteUploadRequest(name=upload.name)
    done: pb.Upload = await storage.stub.CompleteUpload(request, metadata=storage.metadata(), timeout=300)
    return done


async def put_part(storage: StorageHandle, upload: pb.Upload, part: pb.PartUrl, file: BinaryIO) -> None:
    file.seek((part.part_number - 1) * upload.part_size_bytes)
    answer = await storage.http.put(part.url, content=file.read(upload.part_size_bytes))
    assert answer.status_code == 200, answer.text


@asynccontextmanager
async def services(s3: SeaweedFS, folder: Path) -> AsyncIterator[tuple[DatasetHandle, list[int]]]:
    """Storage and the dataset service as programs with their defaults; the latter's handle, and both pids."""
    trusted = trust.make(folder / "keys")
    bucket = s3.make_bucket()
    async with (
        program(
            "storage",
            folder,
            trusted,
            **s3.environment(bucket),
        ) as (storage_pid, storage_target),
        program(
            "dataset",
            folder,
            trusted,
            VISIONTUNE_DATASET_SIGNING_KEY_FILE=str(trusted.key_file("dataset")),
            VISIONTUNE_STORAGE_TARGET=storage_target,
            VISIONTUNE_SCRATCH_DIR=str(folder / "scratch"),
        ) as (dataset_pid, dataset_target),
        channels.connect(storage_target) as channel,
        httpx.AsyncClient(timeout=120) as http,
    ):
        stub = storage_pb2_grpc.StorageServiceStub(channel)
        storage = StorageHandle(
            storage_target, bucket, trusted, stub, operations_pb2_grpc.OperationsStub(channel), http
        )
        async with connected(dataset_target, storage) as service:
            yield service, [storage_pid, dataset_pid]
    s3.drop_bucket(bucket)


@asynccontextmanager
async def program(
    name: str, folder: Path, trusted: trust.Trust, **environment: str
) -> AsyncIterator[tuple[int, str]]:
    """Runs one of our servers; yields its pid and address."""
    prefix = f"VISIONTUNE_{name.upper()}"
    common = {
        f"{prefix}_DATABASE_URL": await asyncio.to_thread(databases.migrated_in, folder, name),
        f"{prefix}_PORT": "0",
        "VISIONTUNE_ISSUERS_FILE": str(trusted.issuers_file),
        "VISIONTUNE_LOG_FORMAT": "json",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"visiontune_{name}", "serve"),
        cwd=folder,
        env={**os.environ, **common, **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        port = await _port(process.stdout)
        drain = asyncio.create_task(process.stdout.read())
        yield process.pid, f"127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()
        await drain


async def _port(lines: asyncio.StreamReader) -> int:
    async with asyncio.timeout(60):
        async for line in lines:
            if b"server_started" in line:
                return int(json.loads(line)["port"])
    raise AssertionError("it ended before it served")
