"""What the minio client has only privately: multipart uploads, CORS, and where S3 begins. Used here alone."""

# ruff: noqa: SLF001 - see above

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import SplitResult

from minio import Minio
from minio.datatypes import Part
from minio.error import S3Error
from minio.helpers import BaseURL

from visiontune_storage.domain.uploads import ReceivedPart

_UNKNOWN = datetime.min.replace(tzinfo=UTC)


class _BelowPath(BaseURL):
    """Addresses of a server whose S3 begins at a path: it is signed like the rest of an address."""

    def __init__(self, endpoint: str, region: str, path: str) -> None:
        super().__init__(endpoint, region)
        self._path = path

    def build(self, **parts: Any) -> SplitResult:
        """The address that would be meant without the path, below it."""
        found = super().build(**parts)
        return found._replace(path=self._path + found.path)


def begin_at(client: Minio, endpoint: str, region: str, path: str) -> None:
    """Lets all that `client` asks and signs begin at `path`, as AWS's own SDKs do with an endpoint's path."""
    client._base_url = _BelowPath(endpoint, region, path)


def start(client: Minio, bucket: str, key: str, content_type: str) -> str:
    """Begins an upload; returns the store's id of it."""
    return str(client._create_multipart_upload(bucket, key, {"Content-Type": content_type}))


def put(client: Minio, bucket: str, key: str, upload_id: str, number: int, data: memoryview) -> None:
    """Writes one part of an upload."""
    client._upload_part(bucket, key, cast("bytes", data), None, upload_id, number)  # it only reads it


def parts(client: Minio, bucket: str, key: str, upload_id: str) -> list[ReceivedPart] | None:
    """Returns what has arrived; a part twice when it was put twice. None when there is no such upload."""
    found: list[ReceivedPart] = []
    marker: str | None = None
    try:
        while True:
            page = client._list_parts(bucket, key, upload_id, part_number_marker=marker)
            found += [
                ReceivedPart(part.part_number, part.etag, part.size or 0, part.last_modified or _UNKNOWN)
                for part in page.parts
            ]
            if not page.is_truncated or not page.parts:
                return found
            marker = str(page.next_part_number_marker or found[-1].number)
    except S3Error as error:
        if error.code == "NoSuchUpload":
            return None
        raise


def finish(client: Minio, bucket: str, key: str, upload_id: str, received: Sequence[ReceivedPart]) -> bool:
    """Makes one object of the parts; False when a part is too small. True also when it was made before."""
    try:
        client._complete_multipart_upload(
            bucket, key, upload_id, [Part(part.number, part.etag) for part in received]
        )
    except S3Error as error:
        if error.code == "EntityTooSmall":
            return False
        if error.code != "NoSuchUpload":
            raise
    return True


def abort(client: Minio, bucket: str, key: str, upload_id: str) -> None:
    """Deletes an upload's parts. Harmless when there is none."""
    try:
        client._abort_multipart_upload(bucket, key, upload_id)
    except S3Error as error:
        if error.code != "NoSuchUpload":
            raise


def unfinished(client: Minio, bucket: str, prefix: str) -> list[tuple[str, str, datetime | None]]:
    """Returns key, id and beginning of all uploads below a prefix, also of those whose id nobody noted.

    Some servers always answer with none.
    """
    found: list[tuple[str, str, datetime | None]] = []
    key_marker = upload_id_marker = None
    while True:
        page = client._list_multipart_uploads(
            bucket, prefix=prefix, key_marker=key_marker, upload_id_marker=upload_id_marker
        )
        found += [(each.object_name, str(each.upload_id), each.initiated_time) for each in page.uploads]
        if not page.is_truncated or not page.uploads:
            return found
        key_marker, upload_id_marker = page.next_key_marker, page.next_upload_id_marker


def unfinished_of(client: Minio, bucket: str, key: str) -> list[str]:
    """Returns the ids of all uploads to exactly this key."""
    return [upload_id for found, upload_id, _ in unfinished(client, bucket, key) if found == key]


def set_cors(client: Minio, bucket: str, rules: bytes) -> None:
    """Replaces the bucket's CORS rules. Raises MinioException where the server has none per bucket."""
    digest = base64.b64encode(hashlib.md5(rules, usedforsecurity=False).digest()).decode()
    client._execute("PUT", bucket, body=rules, headers={"Content-MD5": digest}, query_params={"cors": ""})
