"""The real dataset service for tests: over gRPC, its own database, real storage and a bucket beside it."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from google.longrunning import operations_pb2 as lro
from google.longrunning import operations_pb2_grpc
from google.protobuf.duration_pb2 import Duration
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune.dataset.v1 import dataset_pb2_grpc
from visiontune.storage.v1 import storage_pb2
from visiontune_dataset import app
from visiontune_dataset.settings import Settings
from visiontune_kit import channels, server
from visiontune_kit.clock import Clock
from visiontune_kit.identity import Role

from tests.support import archives, databases
from tests.support.eventually import eventually
from tests.support.s3 import S3Server
from tests.support.storage import StorageHandle, running_storage

T = TypeVar("T")
PARENT = "projects/default"
END_WITHIN_S = 90.0


@dataclass(frozen=True)
class DatasetHandle:
    """A running dataset service, calls of it as an editor of one project, and storage beside it."""

    target: str
    stub: Any
    operations: Any
    storage: StorageHandle

    async def call(
        self, method: str, request: Any, *, project: str = "default", role: Role = Role.EDITOR, **options: Any
    ) -> Any:
        metadata = self.storage.metadata(project, role)
        return await getattr(self.stub, method)(request, metadata=metadata, **options)

    async def create(self, dataset_id: str = "d", *, project: str = "default", **fields: Any) -> pb.Dataset:
        request = pb.CreateDatasetRequest(
            parent=f"projects/{project}", dataset_id=dataset_id, dataset=pb.Dataset(**fields)
        )
        made: pb.Dataset = await self.call("CreateDataset", request, project=project)
        return made

    async def start(
        self, dataset: pb.Dataset, files: archives.Files, filename: str = "data.tar.gz", **fields: Any
    ) -> lro.Operation:
        """Uploads an archive and begins to import it."""
        return await self.start_bytes(dataset, archives.pack(files, filename), filename, **fields)

    async def start_bytes(
        self, dataset: pb.Dataset, content: bytes, filename: str = "data.tar.gz", **fields: Any
    ) -> lro.Operation:
        """Likewise, of bytes that need not be an archive."""
        project = dataset.name.split("/")[1]
        upload = await self.storage.upload(content, project=project, filename=filename)
        request = pb.ImportVersionRequest(parent=dataset.name, upload=upload.name, **fields)
        operation: lro.Operation = await self.call("ImportVersion", request, project=project)
        return operation

    async def ended(self, operation: lro.Operation, within_s: float = END_WITHIN_S) -> lro.Operation:
        """The operation, once it has ended."""
        request = lro.WaitOperationRequest(name=operation.name, timeout=Duration(seconds=20))
        metadata = self.storage.metadata(operation.name.split("/")[1])
        async with asyncio.timeout(within_s):
            while not operation.done:
                operation = await self.operations.WaitOperation(request, metadata=metadata, timeout=30)
        return operation

    async def imported(
        self, dataset: pb.Dataset, files: archives.Files, filename: str = "data.tar.gz", **fields: Any
    ) -> pb.DatasetVersion:
        """The version that an import of these files makes."""
        return version_of(await self.ended(await self.start(dataset, files, filename, **fields)))

    async def get(self, operation: lro.Operation) -> lro.Operation:
        found: lro.Operation = await self.operations.GetOperation(
            lro.GetOperationRequest(name=operation.name), metadata=self.storage.metadata()
        )
        return found

    async def cancel(self, operation: lro.Operation) -> None:
        await self.operations.CancelOperation(
            lro.CancelOperationRequest(name=operation.name), metadata=self.storage.metadata()
        )

    async def until_stage(self, operation: lro.Operation, stage: str) -> None:
        """Returns once the import shows that stage, or a later one."""
        wanted = pb.ImportVersionMetadata.Stage.Value(f"STAGE_{stage}")

        async def reached() -> bool:
            return metadata_of(await self.get(operation)).stage >= wanted

        await eventually(reached, within_s=END_WITHIN_S)

    async def versions(self, dataset: pb.Dataset) -> list[pb.DatasetVersion]:
        answer = await self.call("ListVersions", pb.ListVersionsRequest(parent=dataset.name))
        return list(answer.versions)

    async def report(self, name: str) -> pb.ValidationReport:
        found: pb.ValidationReport = await self.call(
            "GetValidationReport", pb.GetValidationReportRequest(name=name)
        )
        return found

    async def objects(self, project: str = "default") -> list[str]:
        """Owners of all that storage keeps for the project."""
        request = storage_pb2.ListObjectsRequest(parent=f"projects/{project}")
        answer = await self.storage.call("ListObjects", request, project=project)
        return [each.owner for each in answer.objects]

    async def until_objects(self, count: int) -> None:
        """Returns once storage keeps so many objects, none reserved, and the bytes that the quota says."""

        async def settled() -> bool:
            quota = await self.storage.quota()
            found = len(await self.objects()), quota.object_count, quota.reserved_bytes
            return found == (count, count, 0) and (count > 0 or quota.used_bytes == 0)

        await eventually(settled, within_s=30)


def version_of(operation: lro.Operation) -> pb.DatasetVersion:
    """The response of an import that ended well."""
    assert operation.HasField("response"), operation.error
    version = pb.DatasetVersion()
    assert operation.response.Unpack(version)
    return version


def metadata_of(operation: lro.Operation) -> pb.ImportVersionMetadata:
    """What an import shows of itself."""
    metadata = pb.ImportVersionMetadata()
    assert operation.metadata.Unpack(metadata)
    return metadata


def details_of(operation: lro.Operation, kind: type[T]) -> T:
    """The one detail of that type in the operation's error."""
    found: Any = kind()
    [packed] = [each for each in operation.error.details if each.Is(found.DESCRIPTOR)]
    packed.Unpack(found)
    unpacked: T = found
    return unpacked


@asynccontextmanager
async def running_dataset(
    s3: S3Server, folder: Path, *, database_url: str = "", clock: Clock | None = None, **settings: Any
) -> AsyncIterator[DatasetHandle]:
    """Serves storage and the dataset service inside the block. settings: fields of Settings."""
    async with (
        running_storage(s3, folder, sweep_interval_s=0.2) as storage,
        dataset_beside(storage, folder, database_url=database_url, clock=clock, **settings) as handle,
    ):
        yield handle


@asynccontextmanager
async def dataset_beside(
    storage: StorageHandle,
    folder: Path,
    *,
    database_url: str = "",
    clock: Clock | None = None,
    **settings: Any,
) -> AsyncIterator[DatasetHandle]:
    """Serves the dataset service alone, on the database in `folder` unless another is given."""
    url = database_url or databases.url_in(folder, "dataset")
    await asyncio.to_thread(databases.migrate, url, "visiontune_dataset")
    values = {
        "database_url": url,
        "issuers_file": storage.trust.issuers_file,
        "signing_key_file": storage.trust.key_file("dataset"),
        "storage_target": storage.target,
        "trainer_target": "",
        "scratch_dir": folder / "scratch",
        "import_processes": 1,
        "import_concurrency": 2,
        "stop_grace_s": 1.0,
        "undo_window_s": 0,
        **settings,
    }
    async with (
        server.running(app.build(Settings(**values), clock)) as target,
        connected(target, storage) as it,
    ):
        yield it


@asynccontextmanager
async def program_beside(
    storage: StorageHandle, folder: Path, *, fault: str = ""
) -> AsyncIterator[tuple[asyncio.subprocess.Process, DatasetHandle]]:
    """`python -m visiontune_dataset serve` on the database in `folder`; it may die inside the block."""
    environment = {
        "VISIONTUNE_DATASET_DATABASE_URL": await asyncio.to_thread(databases.migrated_in, folder, "dataset"),
        "VISIONTUNE_DATASET_SIGNING_KEY_FILE": str(storage.trust.key_file("dataset")),
        "VISIONTUNE_DATASET_PORT": "0",
        "VISIONTUNE_DATASET_IMPORT_PROCESSES": "1",
        "VISIONTUNE_ISSUERS_FILE": str(storage.trust.issuers_file),
        "VISIONTUNE_STORAGE_TARGET": storage.target,
        "VISIONTUNE_TRAINER_TARGET": "",
        "VISIONTUNE_SCRATCH_DIR": str(folder / "scratch"),
        "VISIONTUNE_LOG_FORMAT": "json",
        "VISIONTUNE_FAULT": fault,
        "VISIONTUNE_DATASET_UNDO_WINDOW_S": "0",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "visiontune_dataset", "serve"),
        cwd=folder,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        port = await _port(process.stdout)
        drain = asyncio.create_task(process.stdout.read())
        async with connected(f"127.0.0.1:{port}", storage) as handle:
            yield process, handle
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await drain


async def _port(lines: asyncio.StreamReader) -> int:
    async with asyncio.timeout(60):
        async for line in lines:
            if b"server_started" in line:
                return int(json.loads(line)["port"])
    raise AssertionError("it ended before it served")


@asynccontextmanager
async def connected(target: str, storage: StorageHandle) -> AsyncIterator[DatasetHandle]:
    """Calls of a dataset service that runs at `target`."""
    async with channels.connect(target) as channel:
        yield DatasetHandle(
            target,
            dataset_pb2_grpc.DatasetServiceStub(channel),
            operations_pb2_grpc.OperationsStub(channel),
            storage,
        )
