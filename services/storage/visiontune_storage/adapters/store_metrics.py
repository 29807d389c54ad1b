"""What the object store says of its traffic, on pages in Prometheus's text format."""

import asyncio
import re

import urllib3

_TIMEOUT = urllib3.Timeout(connect=3.0, read=5.0)
_MOST_BYTES = 16 * 1024 * 1024
# By server: SeaweedFS's, MinIO's (of /minio/v2/metrics/bucket, a line for each of its processes).
_SENT = re.compile(
    r"^(?:SeaweedFS_s3_bucket_traffic_sent_bytes_total|minio_bucket_traffic_sent_bytes)"
    r'\{(?:[^}]*,)?bucket="(?P<bucket>[^"]*)"[^}]*\} (?P<value>[0-9.eE+]+)',
    re.MULTILINE,
)


class StoreMetrics:
    """See ports.StoreMetrics."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._http = urllib3.PoolManager(maxsize=1, timeout=_TIMEOUT, retries=False)

    async def sent_bytes(self, page: str) -> int | None:
        """See ports.StoreMetrics."""
        text = await asyncio.to_thread(self._read, page)
        return None if text is None else sent_bytes(text, self._bucket)

    def _read(self, page: str) -> str | None:
        try:
            answer = self._http.request("GET", page, preload_content=False)
            try:
                content = answer.read(_MOST_BYTES)
            finally:
                answer.release_conn()
        except urllib3.exceptions.HTTPError:
            return None
        return content.decode("utf-8", "replace") if answer.status == 200 else None


def sent_bytes(text: str, bucket: str) -> int:
    """The bytes that were sent from a bucket, as such a page has them; 0 before the first."""
    found = (match for match in _SENT.finditer(text) if match["bucket"] == bucket)
    return sum(int(float(match["value"])) for match in found)
