"""A real gateway in front of a real gRPC server that answers by script, through the kit's own gate."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.api import httpbody_pb2
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import timestamp_pb2
from visiontune.dataset.v1 import dataset_pb2, dataset_pb2_grpc
from visiontune.trainer.v1 import trainer_pb2, trainer_pb2_grpc
from visiontune_gateway import app, keys
from visiontune_gateway.local_keys import provide_api_key
from visiontune_gateway.settings import Settings
from visiontune_kit import errors, identity, server, telemetry
from visiontune_kit.identity import Role
from visiontune_kit.server import Program, Rpc
from visiontune_kit.settings import ServerSettings

from tests.support import databases

DATASETS = "visiontune.dataset.v1.DatasetService"
TRAINER = "visiontune.trainer.v1.TrainerService"
OPERATIONS = "google.longrunning.Operations"
PIXELS = b"\x89PNG" + bytes(range(256)) * 20_000  # 5 MB: more than gRPC takes by default


@dataclass
class Seen:
    """What reached the services."""

    requests: list[Any] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    watch_ended: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, request: Any) -> None:
        self.requests.append(request)
        self.subjects.append(identity.current().subject)
        self.traces.append(telemetry.current_traceparent())


class Datasets(dataset_pb2_grpc.DatasetServiceServicer):
    """Answers with what it was asked."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    async def CreateDataset(self, request: Any, context: Any) -> dataset_pb2.Dataset:
        self._seen.note(request)
        if request.dataset_id == "taken":
            raise errors.AlreadyExists(
                "taken", resource=f"{request.parent}/datasets/taken", reason="DatasetExists"
            )
        return dataset_pb2.Dataset(
            name=f"{request.parent}/datasets/{request.dataset_id}",
            display_name=request.dataset.display_name,
        )

    async def GetDataset(self, request: Any, context: Any) -> dataset_pb2.Dataset:
        self._seen.note(request)
        if request.name.endswith("/slow"):
            await asyncio.sleep(60)
        if request.name.endswith("/crash"):
            raise RuntimeError("a secret of the inside")
        return dataset_pb2.Dataset(name=request.name)

    async def UpdateDataset(self, request: Any, context: Any) -> dataset_pb2.Dataset:
        self._seen.note(request)
        answer: dataset_pb2.Dataset = request.dataset
        return answer

    async def GetExampleImage(self, request: Any, context: Any) -> httpbody_pb2.HttpBody:
        self._seen.note(request)
        return httpbody_pb2.HttpBody(content_type="image/png", data=PIXELS)

    async def GetLinkedImage(self, request: Any, context: Any) -> httpbody_pb2.HttpBody:
        self._seen.note(request)
        if request.token == "wrong":
            raise errors.PermissionDenied("no such link", reason="ImageLinkInvalid")
        body = httpbody_pb2.HttpBody(content_type="image/png", data=PIXELS)
        end = timestamp_pb2.Timestamp()
        end.FromSeconds(int(time.time()) + int(request.token))
        body.extensions.add().Pack(end)
        return body

    async def GetThumbnails(self, request: Any, context: Any) -> dataset_pb2.GetThumbnailsResponse:
        return dataset_pb2.GetThumbnailsResponse(thumbnails=[dataset_pb2.Thumbnail(width_px=3)], total_size=1)


class Operations(operations_pb2_grpc.OperationsServicer):  # type: ignore[misc]  # it has no stubs
    """Has one operation."""

    async def GetOperation(self, request: Any, context: Any) -> operations_pb2.Operation:
        operation = operations_pb2.Operation(name=request.name, done=True)
        operation.metadata.Pack(dataset_pb2.ImportVersionMetadata(record_count=3))
        operation.response.Pack(dataset_pb2.DatasetVersion(example_count=3))
        return operation


class Trainer(trainer_pb2_grpc.TrainerServiceServicer):
    """Counts in its watches: `3` ends, `fails` fails after two, `endless` waits after one."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    async def CreateTrainingJob(self, request: Any, context: Any) -> trainer_pb2.TrainingJob:
        self._seen.note(request)
        answer: trainer_pb2.TrainingJob = request.training_job
        return answer

    async def WatchTrainingJob(
        self, request: Any, context: Any
    ) -> AsyncIterator[trainer_pb2.WatchTrainingJobResponse]:
        self._seen.note(request)
        job = request.name.rpartition("/")[2]
        if job == "absent":
            raise errors.NotFound("no such job", resource=request.name, reason="JobNotFound")
        begin = int(request.cursor or 0)
        for step in range(begin + 1, 4):
            yield trainer_pb2.WatchTrainingJobResponse(
                cursor=str(step), event=trainer_pb2.Event(sequence=step)
            )
            if job == "fails" and step == 2:
                raise errors.Unavailable("the database is away", reason="DatabaseAway")
            if job == "endless":
                try:
                    await asyncio.sleep(60)
                finally:
                    self._seen.watch_ended.set()


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def keys_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    keys.make_all(folder)
    return folder


@pytest.fixture
async def upstream(seen: Seen, keys_folder: Path) -> AsyncIterator[str]:
    """host:port of a server of all the services behind."""
    names = {
        f"/{DATASETS}/": (
            *("CreateDataset", "GetDataset", "UpdateDataset"),
            *("GetExampleImage", "GetThumbnails", "GetLinkedImage"),
        ),
        f"/{TRAINER}/": ("CreateTrainingJob", "WatchTrainingJob"),
        f"/{OPERATIONS}/": ("GetOperation",),
    }
    program = Program(
        name="upstream",
        settings=ServerSettings(issuers_file=keys_folder / "issuers.json", stop_grace_s=1),
        rpcs=[
            Rpc(DATASETS, dataset_pb2_grpc.add_DatasetServiceServicer_to_server, Datasets(seen)),
            Rpc(TRAINER, trainer_pb2_grpc.add_TrainerServiceServicer_to_server, Trainer(seen)),
            Rpc(OPERATIONS, operations_pb2_grpc.add_OperationsServicer_to_server, Operations()),
        ],
        access={prefix + name: Role.VIEWER for prefix, methods in names.items() for name in methods},
        unscoped=frozenset({f"/{DATASETS}/GetLinkedImage"}),
    )
    async with server.running(program) as address:
        yield address


@pytest.fixture
def settings(tmp_path: Path, keys_folder: Path, upstream: str) -> Settings:
    return Settings(
        host="127.0.0.1",
        port=0,
        grpc_port=0,
        database_url=databases.migrated_in(tmp_path, "gateway"),
        signing_key_file=keys_folder / "gateway.pem",
        issuers_file=keys_folder / "issuers.json",
        dataset_target=upstream,
        trainer_target=upstream,
        storage_target="127.0.0.1:1",  # nobody is there
        identity_target="",
        request_limit_bytes=64 * 1024,
        sse_comment_interval_s=0.2,
        stop_grace_s=5,
    )


@pytest.fixture
async def addresses(settings: Settings) -> AsyncIterator[app.Addresses]:
    async with app.running(settings) as found:
        yield found


@dataclass
class Client:
    """HTTP with one key."""

    http: httpx.AsyncClient
    key: str

    async def call(self, verb: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}", **options.pop("headers", {})}
        return await self.http.request(verb, path, headers=headers, **options)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.call("GET", path, **options)

    async def post(self, path: str, **options: Any) -> httpx.Response:
        return await self.call("POST", path, **options)


@pytest.fixture
async def http(addresses: app.Addresses) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://{addresses.http}", timeout=20) as client:
        yield client


@pytest.fixture
async def operator(http: httpx.AsyncClient, settings: Settings) -> Client:
    return Client(http, await provide_api_key(settings, "default", Role.OPERATOR, ""))


@pytest.fixture
async def stranger(http: httpx.AsyncClient, settings: Settings) -> Client:
    """An editor of another project."""
    return Client(http, await provide_api_key(settings, "other", Role.EDITOR, ""))
