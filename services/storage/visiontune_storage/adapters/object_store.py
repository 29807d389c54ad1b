"""The bucket, through the minio client. It is synchronous, so its calls run in threads."""

# ruff: noqa: D102 - ports.py states what each method promises

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import urllib3
from minio import Minio
from minio.credentials.providers import Provider
from minio.error import InvalidResponseError, MinioException, S3Error

from visiontune_storage.adapters import s3_calls, s3_listing
from visiontune_storage.adapters.shared_work import SharedWork
from visiontune_storage.domain.failures import ObjectStoreUnavailable
from visiontune_storage.domain.objects import StoredKey
from visiontune_storage.domain.uploads import MIB, ReceivedPart, SigningWindow, Upload

T = TypeVar("T")

# Short: a caller who is told UNAVAILABLE can retry, one who hangs cannot.
_RETRIES = urllib3.Retry(
    total=3, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504], allowed_methods=None
)
_TIMEOUT = urllib3.Timeout(connect=3.0, read=60.0)
_ABSENT = frozenset({"NoSuchKey", "ResourceNotFound"})
_CHUNK_BYTES = MIB
# Objects never change, so whoever read one by a URL need not ask again; only that reader may keep it.
_READ = {"response-cache-control": "private, max-age=31536000, immutable"}


class _Http(urllib3.PoolManager):
    """Makes errors readable of stores that call them text/xml, where the minio client reads no code."""

    def urlopen(self, *arguments: Any, **options: Any) -> urllib3.BaseHTTPResponse:
        answer = super().urlopen(*arguments, **options)
        if answer.headers.get("content-type", "").startswith("text/xml"):
            answer.headers["content-type"] = "application/xml"
        return answer


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where the bytes are, and the credentials that only this program has."""

    name: str
    endpoint: str  # host:port, or host:port/path where S3 begins at a path
    public_endpoint: str  # as clients reach it: a signed URL is good for the signed host only
    region: str
    secure: bool
    public_secure: bool
    credentials: Provider | None = field(repr=False)  # None: a store that asks for none

    def client(self, endpoint: str, *, secure: bool, http: urllib3.PoolManager) -> Minio:
        """Returns a client for one of the endpoints; the region is given, so it never asks for it."""
        host, slash, path = endpoint.rstrip("/").partition("/")
        client = Minio(
            host, credentials=self.credentials, region=self.region, secure=secure, http_client=http
        )
        if path:
            scheme = "https" if secure else "http"
            s3_calls.begin_at(client, f"{scheme}://{host}", self.region, slash + path)
        return client


class MinioStore:
    """See ports.ObjectStore."""

    def __init__(self, bucket: Bucket, *, threads: int = 16, hashing_threads: int = 2) -> None:
        http = _Http(maxsize=threads + hashing_threads, timeout=_TIMEOUT, retries=_RETRIES)
        self._bucket = bucket.name
        self._client = bucket.client(bucket.endpoint, secure=bucket.secure, http=http)
        self._signer = bucket.client(bucket.public_endpoint, secure=bucket.public_secure, http=http)
        self._threads = ThreadPoolExecutor(threads, "s3")
        # Threads of their own, so that reading a large object holds up nobody's small calls.
        self._hashing_threads = ThreadPoolExecutor(hashing_threads, "sha256")
        self._digests = SharedWork(self._read_digest)
        self._read_bytes = 0

    async def start_upload(self, key: str, content_type: str) -> str:
        return await self.call(s3_calls.start, key, content_type)

    async def find_upload(self, key: str) -> str | None:
        return next(iter(await self.call(s3_calls.unfinished_of, key)), None)

    async def list_parts(self, key: str, store_upload_id: str) -> list[ReceivedPart] | None:
        return await self.call(s3_calls.parts, key, store_upload_id)

    async def finish_upload(self, key: str, store_upload_id: str, parts: Sequence[ReceivedPart]) -> bool:
        return await self.call(s3_calls.finish, key, store_upload_id, parts)

    async def cancel_upload(self, key: str, store_upload_id: str) -> None:
        await self.call(s3_calls.abort, key, store_upload_id)

    async def put_part(self, key: str, store_upload_id: str, number: int, data: memoryview) -> None:
        await self.call(s3_calls.put, key, store_upload_id, number, data)

    async def size_of(self, key: str) -> int | None:
        return await self.call(_size_of, key)

    async def sha256_of(self, key: str) -> str:
        return await self._digests.of(key)

    async def purge_upload(self, key: str, store_upload_id: str) -> None:
        await self.call(_purge_upload, key, store_upload_id)

    async def purge_object(self, key: str) -> None:
        await self.call(Minio.remove_object, key)

    async def folders(self) -> list[str]:
        return await self.call(s3_listing.folders)

    async def list_keys(self, prefix: str, after: str, limit: int) -> list[StoredKey]:
        return await self.call(s3_listing.keys, prefix, after, limit)

    async def list_uploads(self, prefix: str) -> list[StoredKey]:
        return await self.call(s3_listing.uploads, prefix)

    async def sign_parts(self, upload: Upload, window: SigningWindow) -> list[str]:
        queries = (
            {"partNumber": str(number), "uploadId": upload.store_upload_id}
            for number in range(1, upload.part_count + 1)
        )
        return await self._sign("PUT", [(upload.key, query) for query in queries], window)

    async def sign_reads(self, keys: Sequence[str], window: SigningWindow) -> list[str]:
        return await self._sign("GET", [(key, _READ) for key in keys], window)

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Runs `function(client, bucket, *arguments)` in a thread. Raises ObjectStoreUnavailable."""
        return await self._run(self._threads, lambda: function(self._client, self._bucket, *arguments))

    def take_read_bytes(self) -> int:
        taken, self._read_bytes = self._read_bytes, 0
        return taken

    async def _read_digest(self, key: str) -> str:
        digest, read_bytes = await self._run(
            self._hashing_threads, lambda: _sha256_of(self._client, self._bucket, key)
        )
        self._read_bytes += read_bytes
        return digest

    async def _sign(
        self, method: str, targets: Sequence[tuple[str, Mapping[str, str]]], window: SigningWindow
    ) -> list[str]:
        """In a thread: a signature takes about 0.1 ms, and there may be 2,000."""
        expires = window.end - window.start

        def sign() -> list[str]:
            return [
                self._signer.get_presigned_url(
                    method,
                    self._bucket,
                    key,
                    expires=expires,
                    request_date=window.start,
                    extra_query_params=dict(query),
                )
                for key, query in targets
            ]

        return await self._run(self._threads, sign)

    @staticmethod
    async def _run(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        def translated() -> T:
            with _failures_as_ours():
                return work()

        return await asyncio.get_running_loop().run_in_executor(threads, translated)


@contextmanager
def _failures_as_ours() -> Iterator[None]:
    """Whatever the object store does wrong is passing for the caller, whose bytes and rows are safe."""
    try:
        yield
    except S3Error as error:
        raise ObjectStoreUnavailable(f"it answered {error.code}", answered=True) from error
    except InvalidResponseError as error:  # such as a 403 without a body
        raise ObjectStoreUnavailable("it refused without a reason", answered=True) from error
    except (MinioException, urllib3.exceptions.HTTPError, OSError) as error:
        raise ObjectStoreUnavailable(type(error).__name__) from error


def _size_of(client: Minio, bucket: str, key: str) -> int | None:
    try:
        return client.stat_object(bucket, key).size
    except S3Error as error:
        if error.code in _ABSENT:
            return None
        raise


def _sha256_of(client: Minio, bucket: str, key: str) -> tuple[str, int]:
    """The digest, and how many bytes were read for it."""
    digest, read_bytes = hashlib.sha256(), 0
    answer = client.get_object(bucket, key)
    try:
        for chunk in answer.stream(_CHUNK_BYTES):
            digest.update(chunk)
            read_bytes += len(chunk)
    finally:
        answer.close()
        answer.release_conn()
    return digest.hexdigest(), read_bytes


def _purge_upload(client: Minio, bucket: str, key: str, store_upload_id: str) -> None:
    # A crash between beginning an upload there and noting its id leaves one that only listing finds.
    ids = {store_upload_id, *s3_calls.unfinished_of(client, bucket, key)} - {""}
    for each in ids:
        s3_calls.abort(client, bucket, key, each)
    client.remove_object(bucket, key)
