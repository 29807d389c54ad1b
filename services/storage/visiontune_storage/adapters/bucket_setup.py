"""Makes the bucket ready when the program starts, however late the object store is."""

import asyncio
import io

from minio import Minio
from minio.error import MinioException, S3Error
from visiontune_kit import logs

from visiontune_storage.adapters import s3_calls
from visiontune_storage.adapters.object_store import MinioStore
from visiontune_storage.domain.failures import ObjectStoreUnavailable

_RETRY_S = 0.5
_MOST_RETRY_S = 10.0
_EXISTS = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})
_PROBE = b"visiontune"
_PROBE_KEY = ".probe"  # always the same, so that a crash leaves no more than one, until the next start
# Browsers PUT and GET straight to the bucket, from pages of any origin: the signature is what admits them.
_CORS = b"""<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin>
<AllowedMethod>GET</AllowedMethod><AllowedMethod>HEAD</AllowedMethod><AllowedMethod>PUT</AllowedMethod>
<AllowedHeader>*</AllowedHeader><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>3600</MaxAgeSeconds>
</CORSRule></CORSConfiguration>"""

log = logs.get(__name__)


async def until_ready(store: MinioStore) -> None:
    """Returns when the bucket exists and a probe object was put and read back: the program is ready then.

    It stays ready when the store goes away later. Every replica has the same store, so sending calls
    elsewhere would help nobody, and what needs no bytes goes on; the rest is told ObjectStoreUnavailable.
    """
    wait_s = _RETRY_S
    while True:
        try:
            await store.call(_prepare)
        except ObjectStoreUnavailable as error:
            log.warning("bucket_not_ready", error=error.message, retry_s=wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _MOST_RETRY_S)
        else:
            log.info("bucket_ready")
            return


def _prepare(client: Minio, bucket: str) -> None:
    if not client.bucket_exists(bucket):
        _make(client, bucket)
    _probe(client, bucket)
    _allow_browsers(client, bucket)


def _make(client: Minio, bucket: str) -> None:
    try:
        client.make_bucket(bucket)
    except S3Error as error:
        if error.code not in _EXISTS:  # another replica was faster
            raise


def _probe(client: Minio, bucket: str) -> None:
    client.put_object(bucket, _PROBE_KEY, io.BytesIO(_PROBE), len(_PROBE))
    answer = client.get_object(bucket, _PROBE_KEY)
    try:
        if answer.read() != _PROBE:
            raise ObjectStoreUnavailable("the probe object came back changed")
    finally:
        answer.close()
        answer.release_conn()
    client.remove_object(bucket, _PROBE_KEY)


def _allow_browsers(client: Minio, bucket: str) -> None:
    """Sets CORS where the server takes it per bucket; elsewhere it is the operator's to set."""
    try:
        s3_calls.set_cors(client, bucket, _CORS)
    except MinioException as error:
        log.info("bucket_cors_not_set", error=str(error))
