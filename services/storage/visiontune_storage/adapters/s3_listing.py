"""What a bucket holds, page by page."""

from datetime import UTC, datetime
from itertools import islice

from minio import Minio

from visiontune_storage.adapters import s3_calls
from visiontune_storage.domain.objects import StoredKey

_UNKNOWN = datetime.max.replace(tzinfo=UTC)  # too young for whoever asks


def folders(client: Minio, bucket: str) -> list[str]:
    """Returns what keys begin with, without the slash."""
    found = client.list_objects(bucket)
    return [str(each.object_name).rstrip("/") for each in found if each.is_dir]


def keys(client: Minio, bucket: str, prefix: str, after: str, limit: int) -> list[StoredKey]:
    """Returns up to `limit` keys behind `after`, in the order of bytes.

    Below one folder of ours all stores agree on that order; across folders some go by folder.
    """
    found = client.list_objects(bucket, prefix=prefix, recursive=True, start_after=after)
    stored = (
        StoredKey(str(each.object_name), each.size or 0, each.last_modified or _UNKNOWN)
        for each in found
        if str(each.object_name) > after
    )
    return list(islice(stored, limit))


def uploads(client: Minio, bucket: str, prefix: str) -> list[StoredKey]:
    """Returns all multipart uploads below a prefix that were not ended."""
    return [
        StoredKey(key, 0, begun_at or _UNKNOWN, upload_id)
        for key, upload_id, begun_at in s3_calls.unfinished(client, bucket, prefix)
    ]
