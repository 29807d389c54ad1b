"""An object read at any place over HTTP, each read a range; for processes that may wait."""

import time

import httpx
from typing_extensions import Buffer
from visiontune_data.seekable import Seekable

_TIMEOUT_S = 30.0
_TRIES = 5


class Unreadable(Exception):  # noqa: N818 (named for what happened)
    """The object store did not give the bytes, though asked several times."""


def client() -> httpx.Client:
    """A client for signed URLs."""
    return httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False)


def is_part(answer: httpx.Response, start: int) -> bool:
    """Whether an answer to a request for a range begins at that byte.

    Some stores call a part 200, as they do the whole, and tell by Content-Range that it is one.
    """
    if answer.status_code == httpx.codes.PARTIAL_CONTENT:
        return True
    told = answer.headers.get("content-range", "bytes 0-")
    return answer.status_code == httpx.codes.OK and told.startswith(f"bytes {start}-")


class HttpFile(Seekable):
    """A file of known size at a signed URL. Reading raises Unreadable."""

    def __init__(self, http: httpx.Client, url: str, size: int) -> None:
        super().__init__(size)
        self._http, self._url = http, url

    def readinto(self, buffer: Buffer) -> int:
        """Fills the buffer, or what is left of the file."""
        view = memoryview(buffer).cast("B")
        end = min(self._position + len(view), self._size)
        if end <= self._position:
            return 0
        data = _get(self._http, self._url, self._position, {"Range": f"bytes={self._position}-{end - 1}"})
        if len(data) != end - self._position:
            raise Unreadable(f"the object store answered {len(data):,} bytes of {end - self._position:,}")
        view[: len(data)] = data
        self._position = end
        return len(data)


def read_whole(http: httpx.Client, url: str) -> bytes:
    """All bytes of a small object. Raises Unreadable."""
    return _get(http, url, 0, {})


def _get(http: httpx.Client, url: str, start: int, headers: dict[str, str]) -> bytes:
    reason = ""
    for attempt in range(_TRIES):
        time.sleep(attempt**2 * 0.2)
        try:
            answer = http.get(url, headers=headers)
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            continue
        if is_part(answer, start):
            return answer.content
        reason = f"the object store answered HTTP {answer.status_code}"
        if answer.is_client_error:
            break
    raise Unreadable(reason)
