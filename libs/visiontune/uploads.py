"""Bytes to the object store and back, over signed URLs: in parts, side by side, resumable, verified."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO

import urllib3

from visiontune import errors
from visiontune.storage.v1 import storage_pb2
from visiontune.trainer.v1 import trainer_pb2
from visiontune.transport import bytes_client

if TYPE_CHECKING:
    from visiontune.methods.storage import Storage

CHUNK_BYTES = 1024 * 1024
AT_ONCE = 4
ATTEMPTS = 10
MOST_PAUSE_S = 5.0
# How long one read or write on a connection may stall; a whole part may take any time.
STALL_S = 60.0
# Answers of object stores to a signature that has expired; a fresh URL may help.
EXPIRED = frozenset({400, 401, 403})
SUCCESS = range(200, 300)

# Called with (bytes done, bytes in all) as they move.
Progress = Callable[[int, int], None]


def quiet(_done: int, _total: int) -> None:
    """Tells nobody."""


def unannounced(_upload: storage_pb2.Upload) -> None:
    """Tells nobody."""


@dataclass(slots=True)
class Meter:
    """Adds up what several threads moved."""

    total: int
    tell: Progress
    done: int = 0
    lock: Lock = field(default_factory=Lock)

    def add(self, size: int) -> None:
        """Counts bytes moved, or takes them back when negative."""
        with self.lock:
            self.done += size
            self.tell(self.done, self.total)


def sha256_of(path: Path, tell: Progress = quiet) -> str:
    """Lower-case hexadecimal SHA-256 of a file."""
    digest, meter = hashlib.sha256(), Meter(path.stat().st_size, tell)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            meter.add(len(chunk))
    return digest.hexdigest()


def upload(
    client: "Storage",
    path: Path,
    *,
    content_type: str = "",
    resume: str = "",
    sha256: str = "",
    progress: Progress = quiet,
    begun: Callable[[storage_pb2.Upload], None] = unannounced,
) -> storage_pb2.Upload:
    """Uploads a file and returns the COMPLETE upload.

    `sha256` spares reading the file twice where it is known. `resume` names an upload of the same file that
    broke off: parts that arrived are not sent again. `begun` hears of a new upload before its first byte is
    sent: whoever is killed meanwhile has its name. Raises UploadFailed when the object store does not take
    the bytes, OSError when the file cannot be read.
    """
    sha256 = sha256 or sha256_of(path)
    if resume:
        started = client.get_upload(resume)
        _check_same_file(started, path, sha256)
        if started.state == storage_pb2.Upload.STATE_COMPLETE:
            return started
    else:
        size = path.stat().st_size
        wanted = storage_pb2.Upload(
            filename=path.name, size_bytes=size, sha256=sha256, content_type=content_type
        )
        started = client.create_upload(wanted)
        begun(started)
    sender = _Sender(client, path, started, Meter(started.size_bytes, progress))
    return client.complete_upload(started.name, sender.send_all())


def _check_same_file(upload: storage_pb2.Upload, path: Path, sha256: str) -> None:
    if upload.sha256 != sha256:
        raise errors.UploadFailed(
            f"{path} is not the file of {upload.name}. Start a new upload.", upload.name
        )


@dataclass(slots=True)
class _Sender:
    """Sends the parts of one upload that the object store does not have."""

    client: "Storage"
    path: Path
    upload: storage_pb2.Upload
    meter: Meter
    lock: Lock = field(default_factory=Lock)

    def send_all(self) -> list[storage_pb2.Part]:
        """Every part with its ETag, in part order."""
        have = {part.part_number: part for part in self.upload.received_parts}
        for part in have.values():
            self.meter.add(part.size_bytes)
        missing = [url.part_number for url in self.upload.part_urls if url.part_number not in have]
        if missing:
            with (
                bytes_client(self.upload.part_urls[0].url, STALL_S, AT_ONCE) as http,
                ThreadPoolExecutor(AT_ONCE, "upload") as pool,
            ):
                for part in pool.map(lambda number: self._send(http, number), missing):
                    have[part.part_number] = part
        return [have[number] for number in sorted(have)]

    def _send(self, http: urllib3.PoolManager, number: int) -> storage_pb2.Part:
        """PUTs one part, again and again while that can help. Raises UploadFailed."""
        start = (number - 1) * self.upload.part_size_bytes
        size = min(self.upload.part_size_bytes, self.upload.size_bytes - start)
        for attempt in range(ATTEMPTS):
            moved = Meter(size, quiet)
            problem = ""
            try:
                response = http.request(
                    "PUT",
                    self._url(number),
                    body=self._read(start, size, moved),
                    headers={"content-length": str(size)},
                )
            except urllib3.exceptions.HTTPError as error:
                problem = str(error) or type(error).__name__
            else:
                if response.status in SUCCESS:
                    return storage_pb2.Part(part_number=number, etag=response.headers["etag"])
                problem = f"it answered {response.status}"
                if response.status in EXPIRED:
                    self._sign_again()
            self.meter.add(-moved.done)
            pause(attempt)
        raise errors.UploadFailed(
            f"Part {number} of {self.path.name} did not reach the object store: {problem}.", self.upload.name
        )

    def _read(self, start: int, size: int, moved: Meter) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            file.seek(start)
            while size > 0 and (chunk := file.read(min(CHUNK_BYTES, size))):
                yield chunk
                size -= len(chunk)
                moved.add(len(chunk))
                self.meter.add(len(chunk))
        if size > 0:
            raise errors.UploadFailed(f"{self.path} became shorter while it was sent.", self.upload.name)

    def _url(self, number: int) -> str:
        with self.lock:
            return next(part.url for part in self.upload.part_urls if part.part_number == number)

    def _sign_again(self) -> None:
        fresh = self.client.get_upload(self.upload.name)
        with self.lock:
            if fresh.part_urls:
                self.upload = fresh


def download(files: Sequence[trainer_pb2.ArtifactFile], folder: Path, tell: Progress = quiet) -> list[Path]:
    """Downloads files below a folder and verifies each; what is there already and right is kept.

    Raises TransferFailed when a file cannot be had or is not what was promised.
    """
    meter = Meter(sum(file.size_bytes for file in files), tell)
    if not files:
        return []
    with (
        bytes_client(files[0].url, STALL_S, AT_ONCE) as http,
        ThreadPoolExecutor(AT_ONCE, "download") as pool,
    ):
        return list(pool.map(lambda file: _fetch(http, file, folder, meter), files))


def _fetch(http: urllib3.PoolManager, file: trainer_pb2.ArtifactFile, folder: Path, meter: Meter) -> Path:
    target = folder / _safe(file.path)
    if target.exists() and target.stat().st_size == file.size_bytes and sha256_of(target) == file.sha256:
        meter.add(file.size_bytes)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.part")
    with partial.open("wb") as out:
        digest = _receive(http, file, out, meter)
    if digest != file.sha256:
        partial.unlink()
        raise errors.TransferFailed(f"{file.path} arrived damaged: its sha256 is {digest}. Try again.")
    return partial.replace(target)


def _receive(http: urllib3.PoolManager, file: trainer_pb2.ArtifactFile, out: BinaryIO, meter: Meter) -> str:
    """Writes a file's bytes, going on where a connection broke; returns their sha256."""
    digest, problem = hashlib.sha256(), ""
    for attempt in range(ATTEMPTS):
        have = out.tell()
        try:
            with closing(
                http.request(
                    "GET",
                    file.url,
                    headers={"range": f"bytes={have}-"} if have else {},
                    preload_content=False,
                )
            ) as response:
                problem = f"the object store answered {response.status}"
                told = response.headers.get("content-range", "")
                if response.status == HTTPStatus.OK and have and not told.startswith(f"bytes {have}-"):
                    # It does not know ranges: all comes again. (Some know them, and answer 200 all the same.)
                    out.seek(0)
                    out.truncate()
                    meter.add(-have)
                    digest = hashlib.sha256()
                if response.status in SUCCESS:
                    for chunk in response.stream(CHUNK_BYTES, decode_content=False):
                        out.write(chunk)
                        digest.update(chunk)
                        meter.add(len(chunk))
                    return digest.hexdigest()
        except urllib3.exceptions.HTTPError as error:
            problem = str(error) or type(error).__name__
        pause(attempt)
    raise errors.TransferFailed(f"{file.path} could not be downloaded: {problem}. Try again.")


def _safe(path: str) -> Path:
    """A path that stays below the folder. Raises TransferFailed for any other."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise errors.TransferFailed(f'The server named a file outside the folder: "{path}".')
    return Path(*pure.parts)


def pause(attempt: int) -> None:
    """Waits before the attempt after this one, 0-based."""
    time.sleep(min(0.1 * 2**attempt, MOST_PAUSE_S))
