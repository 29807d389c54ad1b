"""The storage service, over gRPC."""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta
from pathlib import PurePosixPath

import grpc
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.duration_pb2 import Duration
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune.storage.v1.storage_pb2_grpc import StorageServiceStub

from visiontune_trainer.domain.folders import Folder
from visiontune_trainer.domain.job import project_of
from visiontune_trainer.ports import NewFile, PreparedUpload, SignedUrl, StoredObject

_URL_TTL = timedelta(hours=6)
_PIECE_BYTES = 1024 * 1024
_COMPLETE_TIMEOUT_S = 300.0  # storage reads the object once to verify it
_NAMESPACE = uuid.UUID("b5b3a1f6-5f0e-4e0e-9d0c-0f5a3a4c7a11")
_USABLE = (pb.Upload.STATE_PENDING, pb.Upload.STATE_COMPLETE)


class StorageClient:
    """Implements `ports.Storage`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = StorageServiceStub(channel)

    async def create_upload(self, folder: Folder, file: NewFile) -> PreparedUpload:
        """Derives the request_id from the file, so that a repeated call finds the first upload."""
        request = pb.CreateUploadRequest(
            parent=f"projects/{project_of(folder.job)}",
            upload=pb.Upload(
                filename=PurePosixPath(file.path).name,
                size_bytes=file.size_bytes,
                sha256=file.sha256,
                owner=folder.owner,
            ),
        )
        # A job of a deleted one's id has folders of the same owners, and needs files of its own.
        seed = f"{folder.owner}/{file.path}@{file.sha256}/{folder.created_at.isoformat()}"
        while True:
            request.request_id = str(uuid.uuid5(_NAMESPACE, seed))
            made = await self._stub.CreateUpload(request)
            # A repeated request gets the first answer; this one says how things are now.
            upload = await self._stub.GetUpload(pb.GetUploadRequest(name=made.name))
            if upload.state in _USABLE:
                break
            seed = upload.name  # it ended without an object, so another follows it, always the same one
        return PreparedUpload(
            file.path, upload.name, upload.part_size_bytes, tuple(part.url for part in upload.part_urls)
        )

    async def put(self, folder: Folder, path: str, content: bytes) -> StoredObject:
        """Derives the request_id from the file, as create_upload does."""
        sha256 = hashlib.sha256(content).hexdigest()
        first = pb.UploadBytesRequest(
            parent=f"projects/{project_of(folder.job)}",
            filename=PurePosixPath(path).name,
            size_bytes=len(content),
            sha256=sha256,
            owner=folder.owner,
            request_id=str(uuid.uuid5(_NAMESPACE, f"{folder.owner}/{path}@{sha256}")),
            body=HttpBody(content_type="text/plain"),
        )
        pieces = (content[start : start + _PIECE_BYTES] for start in range(0, len(content), _PIECE_BYTES))
        requests = [first, *(pb.UploadBytesRequest(body=HttpBody(data=piece)) for piece in pieces)]
        # A list, of which the channel reads the first.
        call = self._stub.UploadBytes(requests, timeout=_COMPLETE_TIMEOUT_S)  # type: ignore[arg-type]  # grpc takes any iterable
        done = await call
        return StoredObject(done.object, done.owner, done.size_bytes, done.sha256)

    async def complete_upload(self, upload: str) -> StoredObject:
        """Storage verifies size and sha256 before it answers."""
        done = await self._stub.CompleteUpload(
            pb.CompleteUploadRequest(name=upload), timeout=_COMPLETE_TIMEOUT_S
        )
        return StoredObject(done.object, done.owner, done.size_bytes, done.sha256)

    async def sign(self, project: str, objects: Sequence[str]) -> Mapping[str, SignedUrl]:
        """Signs for long enough to read a large model."""
        if not objects:
            return {}
        ttl = Duration()
        ttl.FromTimedelta(_URL_TTL)
        answer = await self._stub.SignUrls(
            pb.SignUrlsRequest(parent=f"projects/{project}", objects=objects, ttl=ttl)
        )
        return {url.object: SignedUrl(url.url, url.expire_time.ToDatetime(UTC)) for url in answer.urls}

    async def delete_owned(self, owner: str) -> None:
        """One call deletes objects and aborts uploads."""
        parent = f"projects/{project_of(owner)}"
        await self._stub.DeleteObjects(pb.DeleteObjectsRequest(parent=parent, owner=owner))
