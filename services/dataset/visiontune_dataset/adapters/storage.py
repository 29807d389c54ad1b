"""The storage service, over gRPC; bytes go straight to the object store over the URLs it signs."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, timedelta
from pathlib import Path

import grpc
import httpx
from google.protobuf.duration_pb2 import Duration
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune.storage.v1.storage_pb2_grpc import StorageServiceStub
from visiontune_data.limits import MIB
from visiontune_data.shards import ShardFile
from visiontune_kit import errors

from visiontune_dataset.domain.datasets import StoredFile
from visiontune_dataset.domain.failures import UploadNotComplete
from visiontune_dataset.ports import PARQUET, Archive, ProjectLimits, SignedUrl

_CHUNK_BYTES = 1 * MIB
_COMPLETE_TIMEOUT_S = 300.0  # storage reads the object once to verify it
_PUT_TRIES = 4


class StorageClient:
    """Implements `ports.Storage`."""

    def __init__(self, channel: grpc.aio.Channel, http: httpx.AsyncClient) -> None:
        self._stub = StorageServiceStub(channel)
        self._http = http

    async def limits(self, project: str) -> ProjectLimits:
        """Asks GetQuota."""
        quota = await self._stub.GetQuota(pb.GetQuotaRequest(name=f"projects/{project}/quota"))
        return ProjectLimits(
            datasets=quota.limit_datasets if quota.HasField("limit_datasets") else None,
            images=quota.limit_images if quota.HasField("limit_images") else None,
        )

    async def get_archive(self, upload: str) -> Archive:
        """Asks GetUpload, and GetObject whether the bytes are still there."""
        found = await self._stub.GetUpload(pb.GetUploadRequest(name=upload))
        if found.state != pb.Upload.STATE_COMPLETE:
            raise UploadNotComplete(upload, pb.Upload.State.Name(found.state).removeprefix("STATE_").lower())
        try:
            await self._stub.GetObject(pb.GetObjectRequest(name=found.object))
        except errors.NotFound as error:
            raise UploadNotComplete(upload, "imported already, or deleted") from error
        return Archive(found.object, found.filename, found.sha256, found.size_bytes)

    async def uploaded(self, project: str, most_bytes: int) -> dict[str, str]:
        """Asks ListObjects, page by page."""
        parent = f"projects/{project}"
        request = pb.ListObjectsRequest(parent=parent, owner=f"{parent}/uploads", page_size=1_000)
        found: dict[str, str] = {}
        while True:
            answer = await self._stub.ListObjects(request)
            found |= {each.sha256: each.name for each in answer.objects if each.size_bytes <= most_bytes}
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token

    async def sign(self, objects: Sequence[str], ttl: timedelta) -> list[SignedUrl]:
        """Asks SignUrls, up to 1,000 objects a call."""
        lifetime = Duration()
        lifetime.FromTimedelta(ttl)
        signed: list[SignedUrl] = []
        for start in range(0, len(objects), 1_000):
            batch = objects[start : start + 1_000]
            request = pb.SignUrlsRequest(parent=_parent(batch[0]), objects=batch, ttl=lifetime)
            answer = await self._stub.SignUrls(request)
            signed += [SignedUrl(u.object, u.url, u.expire_time.ToDatetime(UTC)) for u in answer.urls]
        return signed

    async def put(
        self, file: ShardFile, filename: str, owner: str, content_type: str = PARQUET
    ) -> StoredFile:
        """Creates an upload, PUTs its parts and completes it."""
        upload = await self._stub.CreateUpload(
            pb.CreateUploadRequest(
                parent=_parent(owner),
                upload=pb.Upload(
                    filename=filename,
                    size_bytes=file.size_bytes,
                    sha256=file.sha256,
                    content_type=content_type,
                    owner=owner,
                ),
                request_id=str(uuid.uuid4()),
            )
        )
        parts = [await self._put_part(upload, index, file.path) for index in range(len(upload.part_urls))]
        done = await self._stub.CompleteUpload(
            pb.CompleteUploadRequest(name=upload.name, parts=parts), timeout=_COMPLETE_TIMEOUT_S
        )
        return StoredFile(done.object, file.sha256, file.size_bytes)

    async def delete(self, project: str, objects: Sequence[str]) -> None:
        """Asks DeleteObjects, up to 1,000 objects a call."""
        for start in range(0, len(objects), 1_000):
            batch = objects[start : start + 1_000]
            request = pb.DeleteObjectsRequest(parent=f"projects/{project}", objects=batch)
            await self._stub.DeleteObjects(request)

    async def delete_owned(self, owner: str) -> None:
        """Asks DeleteObjects, for everything of the owner."""
        await self._stub.DeleteObjects(pb.DeleteObjectsRequest(parent=_parent(owner), owner=owner))

    async def _put_part(self, upload: pb.Upload, index: int, path: Path) -> pb.Part:
        """PUTs one part, again where the connection broke. Raises Unavailable when it keeps breaking."""
        part, start = upload.part_urls[index], index * upload.part_size_bytes
        length = min(upload.part_size_bytes, upload.size_bytes - start)
        headers = {"Content-Length": str(length), "Content-Type": upload.content_type}
        reason = ""
        for attempt in range(_PUT_TRIES):
            await asyncio.sleep(attempt**2 * 0.2)
            try:
                answer = await self._http.put(part.url, content=_slice(path, start, length), headers=headers)
            except httpx.TransportError as error:
                reason = str(error) or type(error).__name__
                continue
            if answer.is_success:
                return pb.Part(part_number=part.part_number, etag=answer.headers["etag"])
            reason = f"HTTP {answer.status_code}"
        raise errors.Unavailable(f"The object store did not take a shard: {reason}.", reason="ShardNotStored")


async def _slice(path: Path, start: int, length: int) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while length > 0 and (chunk := file.read(min(_CHUNK_BYTES, length))):
            length -= len(chunk)
            yield chunk


def _parent(name: str) -> str:
    return "/".join(name.split("/")[:2])
