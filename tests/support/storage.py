"""The real storage service for tests: over gRPC, with a database and a bucket of its own."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
from google.api import httpbody_pb2
from google.longrunning import operations_pb2 as lro
from google.longrunning import operations_pb2_grpc
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune.storage.v1 import storage_pb2_grpc
from visiontune_kit import channels, server, status
from visiontune_kit.clock import Clock
from visiontune_kit.identity import Role
from visiontune_storage import app
from visiontune_storage.settings import Settings

from tests.support import databases, trust
from tests.support.s3 import S3Server

_AUTHORITIES = httpx.create_ssl_context()  # to load them takes as long as all else of a small test


@dataclass(frozen=True)
class StorageHandle:
    """A running service, and calls of it as an editor of one project."""

    target: str  # host:port
    bucket: str
    trust: trust.Trust
    stub: Any  # its calls raise visiontune_kit.errors.Failure
    operations: Any
    http: httpx.AsyncClient

    def metadata(self, project: str = "default", role: Role = Role.EDITOR) -> list[tuple[str, str]]:
        return self.trust.metadata(project, role)

    async def call(
        self, method: str, request: Any, *, project: str = "default", role: Role = Role.EDITOR
    ) -> Any:
        """Calls one method as that project's key."""
        return await getattr(self.stub, method)(request, metadata=self.metadata(project, role))

    async def call_as_service(self, method: str, request: Any) -> Any:
        """Calls one method as the dataset service would."""
        token = self.trust.service_tokens("dataset")(request)
        return await getattr(self.stub, method)(request, metadata=[("authorization", f"Bearer {token}")])

    async def create(self, content: bytes, *, project: str = "default", **fields: Any) -> pb.Upload:
        """CreateUpload of these bytes; `fields` override what is declared. A service alone names an owner."""
        declared = {
            "filename": "file.bin",
            "size_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            **fields,
        }
        request = pb.CreateUploadRequest(
            parent=f"projects/{project}", upload=pb.Upload(**declared), request_id=str(uuid.uuid4())
        )
        if "owner" in fields:
            created: pb.Upload = await self.call_as_service("CreateUpload", request)
        else:
            created = await self.call("CreateUpload", request, project=project)
        return created

    async def put(self, upload: pb.Upload, content: bytes) -> dict[int, str]:
        """PUTs every part; returns ETags by part number."""
        etags = {}
        for part in upload.part_urls:
            start = (part.part_number - 1) * upload.part_size_bytes
            answer = await self.http.put(part.url, content=content[start : start + upload.part_size_bytes])
            assert answer.status_code == 200, answer.text
            etags[part.part_number] = answer.headers["etag"]
        return etags

    async def complete(
        self, name: str, *, project: str = "default", parts: Mapping[int, str] | None = None
    ) -> pb.Upload:
        named = [pb.Part(part_number=number, etag=etag) for number, etag in (parts or {}).items()]
        request = pb.CompleteUploadRequest(name=name, parts=named)
        done: pb.Upload = await self.call("CompleteUpload", request, project=project)
        return done

    async def upload(self, content: bytes, *, project: str = "default", **fields: Any) -> pb.Upload:
        """Create, PUT, complete."""
        upload = await self.create(content, project=project, **fields)
        await self.put(upload, content)
        return await self.complete(upload.name, project=project)

    async def upload_bytes(
        self, *chunks: bytes, project: str = "default", role: Role = Role.EDITOR, **fields: Any
    ) -> pb.Upload:
        """UploadBytes by a client that has nothing of ours; `fields` override what the first message says."""
        declared = {
            "parent": f"projects/{project}",
            "filename": "file.bin",
            "sha256": hashlib.sha256(b"".join(chunks)).hexdigest(),
            "request_id": str(uuid.uuid4()),
            **fields,
        }
        messages = [pb.UploadBytesRequest(**declared)]
        messages += [pb.UploadBytesRequest(body=httpbody_pb2.HttpBody(data=chunk)) for chunk in chunks]
        return await self.send(messages, metadata=self.metadata(project, role))

    async def send(self, messages: list[pb.UploadBytesRequest], **options: Any) -> pb.Upload:
        """UploadBytes of these messages. Raises Failure."""
        async with grpc.aio.insecure_channel(self.target) as channel:
            try:
                call = storage_pb2_grpc.StorageServiceStub(channel).UploadBytes
                done: pb.Upload = await call(iter(messages), **options)
            except grpc.aio.AioRpcError as error:
                raise status.from_rpc_error(error) from error
        return done

    async def sign(self, *objects: str, project: str = "default") -> list[str]:
        request = pb.SignUrlsRequest(parent=f"projects/{project}", objects=objects)
        answer = await self.call("SignUrls", request, project=project, role=Role.VIEWER)
        return [each.url for each in answer.urls]

    async def read(self, name: str, *, project: str = "default") -> bytes:
        """The bytes of an object, by a signed URL."""
        [url] = await self.sign(name, project=project)
        answer = await self.http.get(url)
        answer.raise_for_status()
        return answer.content

    async def collect(self, project: str = "default", *, dry_run: bool = False) -> pb.CollectGarbageResponse:
        """What a collection of garbage came to, once it has ended."""
        request = pb.CollectGarbageRequest(parent=f"projects/{project}", dry_run=dry_run)
        operation = await self.call("CollectGarbage", request, role=Role.OPERATOR)
        metadata = self.metadata(role=Role.OPERATOR)
        while not operation.done:
            wait = lro.WaitOperationRequest(name=operation.name)
            operation = await self.operations.WaitOperation(wait, metadata=metadata, timeout=30)
        found = pb.CollectGarbageResponse()
        assert operation.response.Unpack(found), operation
        return found

    async def quota(self, project: str = "default") -> pb.Quota:
        request = pb.GetQuotaRequest(name=f"projects/{project}/quota")
        quota: pb.Quota = await self.call("GetQuota", request, project=project, role=Role.VIEWER)
        return quota


@asynccontextmanager
async def running_storage(
    s3: S3Server, folder: Path, *, database_url: str = "", clock: Clock | None = None, **settings: Any
) -> AsyncIterator[StorageHandle]:
    """Serves inside the block. `folder` keeps the keys, and names the database.

    The bucket is new and goes afterwards, unless `bucket` names one. settings: fields of Settings.
    """
    trusted = trust.make(folder / "keys") if not (folder / "keys").exists() else trust.Trust(folder / "keys")
    url = database_url or databases.url_in(folder, "storage")
    await asyncio.to_thread(databases.migrate, url, "visiontune_storage")
    bucket = settings.pop("bucket", None)
    values = {
        "database_url": url,
        "issuers_file": trusted.issuers_file,
        "bucket": bucket or s3.make_bucket(),
        "s3_endpoint": s3.endpoint,
        "s3_region": s3.region,
        "s3_access_key": s3.access_key,
        "s3_secret_key": s3.secret_key,
        "stop_grace_s": 1.0,
        "collect_interval_s": 0,  # tests collect when they say so
        **settings,
    }
    program = app.build(Settings(**values), clock)
    async with (
        server.running(program) as target,
        channels.connect(target) as channel,
        httpx.AsyncClient(timeout=30, verify=_AUTHORITIES) as http,
    ):
        yield StorageHandle(
            target,
            values["bucket"],
            trusted,
            storage_pb2_grpc.StorageServiceStub(channel),
            operations_pb2_grpc.OperationsStub(channel),
            http,
        )
    if bucket is None:
        s3.drop_bucket(values["bucket"])
