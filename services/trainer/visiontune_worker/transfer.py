"""Moves files over signed URLs: verified, retried while the object store is away."""

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import urllib3

from visiontune_worker.faults import DataFault, PassingFault

CHUNK_BYTES = 1024 * 1024
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
# Passing answers besides 5xx: request timeout, too early, too many requests.
PASSING_STATUS = frozenset({408, 425, 429})
_CONNECTIONS = 4
T = TypeVar("T")
EXPIRED_STATUS = frozenset({401, 403})


class UrlRefused(Exception):  # noqa: N818 - it is what the store said
    """The store no longer takes a signed URL; a fresh one may work."""


class _Passing(Exception):  # noqa: N818 - internal, always answered by a retry
    """Try again."""


class Transfer:
    """GET and PUT with patience.

    PassingFault when the store stayed away, or kept answering wrong bytes, for `patience_s`.
    `check` is called before each try and may raise to stop waiting.
    """

    def __init__(self, *, patience_s: float, check: Callable[[], None] = lambda: None) -> None:
        self._patience_s = patience_s
        self._check = check
        # It moves bytes at less than half of httpx's cost, which decoding in another thread has to wait for.
        # It asks no proxy of the environment: the object store may be on this machine.
        self._http = urllib3.PoolManager(
            maxsize=_CONNECTIONS, retries=False, timeout=urllib3.Timeout(connect=10.0, read=60.0)
        )

    def close(self) -> None:
        """Closes the connections."""
        self._http.clear()

    def get(self, url: str, to: Path, *, sha256: str, size_bytes: int) -> None:
        """Downloads to a file that appears whole and verified, or not at all. UrlRefused when expired."""
        to.parent.mkdir(parents=True, exist_ok=True)
        partial = to.with_name(to.name + ".partial")
        self._retrying(to.name, lambda: self._get(url, partial, sha256, size_bytes))
        partial.replace(to)

    def get_part(self, url: str, *, start: int, length: int) -> bytes:
        """Some bytes of an object. UrlRefused when the URL expired."""
        return self._retrying("a part of it", lambda: self._get_part(url, start, length))

    def put(self, url: str, source: Path, *, start: int, length: int) -> None:
        """Uploads a part of a file. UrlRefused when the URL expired."""
        self._retrying(source.name, lambda: self._put(url, source, start, length))

    def _retrying(self, name: str, action: Callable[[], T]) -> T:
        deadline = time.monotonic() + self._patience_s
        pause_s = FIRST_PAUSE_S
        while True:
            self._check()
            try:
                return action()
            except (urllib3.exceptions.HTTPError, _Passing) as error:
                if time.monotonic() + pause_s > deadline:
                    raise PassingFault(
                        "OBJECT_STORE_UNAVAILABLE",
                        f"{name}: the object store did not serve it for {self._patience_s:.0f} s ({error}).",
                    ) from error
            time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _get(self, url: str, to: Path, sha256: str, size_bytes: int) -> None:
        found = hashlib.sha256()
        answer = self._http.request("GET", url, preload_content=False, redirect=False)
        with answer, to.open("wb") as file:
            _raise_for(answer.status, to.name)
            for chunk in answer.stream(CHUNK_BYTES, decode_content=False):
                found.update(chunk)
                file.write(chunk)
        if to.stat().st_size != size_bytes or found.hexdigest() != sha256:
            raise _Passing("its bytes are not the ones that were stored")

    def _get_part(self, url: str, start: int, length: int) -> bytes:
        headers = {"Range": f"bytes={start}-{start + length - 1}"}
        answer = self._http.request("GET", url, headers=headers, redirect=False, preload_content=False)
        with answer:
            _raise_for(answer.status, "a part of it")
            # Some stores call a part 200, as they do the whole: one more byte tells.
            found = answer.read(length + 1, decode_content=False)
        if len(found) != length:
            raise _Passing("it is not the part that was asked for")
        return bytes(found)

    def _put(self, url: str, source: Path, start: int, length: int) -> None:
        headers = {"Content-Length": str(length)}
        body = _slice(source, start, length)
        answer = self._http.request("PUT", url, body=body, headers=headers, redirect=False)
        _raise_for(answer.status, source.name)


def _raise_for(status: int, name: str) -> None:
    if status < 300:
        return
    if status in EXPIRED_STATUS:
        raise UrlRefused(name)
    if status >= 500 or status in PASSING_STATUS:
        raise _Passing(f"HTTP {status}")
    raise DataFault("OBJECT_MISSING", f"{name}: the object store answered HTTP {status}; was it deleted?")


def _slice(source: Path, start: int, length: int) -> Iterator[bytes]:
    with source.open("rb") as file:
        file.seek(start)
        left = length
        while left > 0 and (chunk := file.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk


def sha256_of(path: Path) -> str:
    """Lower-case hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
