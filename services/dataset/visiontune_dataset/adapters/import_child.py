"""The process of one import: reads the archive over HTTP, runs visiontune_data.ingest, tells its parent.

Started by import_process; it ends with its parent, however that ends.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
from visiontune_data.foreign import Sources
from visiontune_data.ingest import Options, Outcome, ingest
from visiontune_data.inputs import Input
from visiontune_data.joining import Base
from visiontune_data.limits import KIB, MIB

from visiontune_dataset.adapters.base_shards import base_shard
from visiontune_dataset.adapters.child import tell
from visiontune_dataset.adapters.http_file import Unreadable, client, is_part
from visiontune_dataset.adapters.image_fetch import ImageFetcher
from visiontune_dataset.adapters.known_images import KnownImages
from visiontune_dataset.ports import ImportFile, ReadableBase, ReadableShard

_CHUNK_BYTES = 256 * KIB
_SKIP_BYTES = 1 * MIB  # a gap that is read over rather than asked for anew
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Task:
    """What to import from where."""

    files: tuple[ImportFile, ...]
    scratch: Path
    options: Options
    image_hosts: tuple[str, ...] = ()
    earlier: tuple[ReadableShard, ...] = ()
    uploaded: Mapping[str, str] = field(default_factory=dict)  # URLs by sha256
    base: ReadableBase | None = None


def run(connection: Connection, task: Task) -> None:
    """Imports; messages are Progress and Shard, the last one is an Outcome, SourceLost or Died."""
    tell(connection, lambda: _ingest(connection, task))


def _ingest(connection: Connection, task: Task) -> Outcome:
    with ExitStack() as stack:
        first, *more = (
            Input(stack.enter_context(HttpSource(file.url, file.size_bytes)), file.name)
            for file in task.files
        )
        base = None
        if task.base:
            http = stack.enter_context(client())
            shards = [base_shard(shard, http) for shard in task.base.shards]
            base = Base(task.base.name, task.base.format, shards, task.base.mode)
        fetch = ImageFetcher(task.image_hosts, task.options.limits.image_bytes)
        return ingest(
            first.source,
            first.name,
            task.scratch,
            replace(task.options, start_method="fork"),
            more=more,
            images=Sources(fetch, KnownImages(task.earlier, task.uploaded)),
            base=base,
            progress=connection.send,
            finished=connection.send,
        )


class HttpSource:
    """An object read forwards over HTTP, from where the connection broke if it breaks; implements Source."""

    def __init__(self, url: str, size: int) -> None:
        self.size = size
        self._url = url
        self._client = client()
        self._answer: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())
        self._rest = b""
        self._at = 0  # of the first byte in _rest
        self._position = 0

    def seek(self, offset: int, /) -> None:
        """Makes `offset` the place of the next read; asks for nothing yet."""
        self._position = offset

    def read(self, length: int, /) -> bytes:
        """At most `length` bytes; empty only at the end. Raises Unreadable."""
        if self._position >= self.size or length <= 0:
            return b""
        self._reach()
        data = self._rest[:length]
        self._rest = self._rest[len(data) :]
        self._at += len(data)
        self._position = self._at
        return data

    def _reach(self) -> None:
        """Has at least one byte at the position."""
        gap = self._position - self._at
        if not 0 <= gap <= _SKIP_BYTES:
            self._drop()
        while not self._rest or self._at < self._position:
            skipped = min(self._position - self._at, len(self._rest))
            self._rest = self._rest[skipped:]
            self._at += skipped
            if not self._rest:
                self._rest = self._next_chunk()

    def _next_chunk(self) -> bytes:
        """The next bytes of the running answer, or of a new one."""
        reason = ""
        for _ in range(_TRIES):
            try:
                if self._answer is None:
                    self._ask()
                if chunk := next(self._chunks, b""):
                    return chunk
                reason = "the connection ended early"
            except httpx.TransportError as error:
                reason = str(error) or type(error).__name__
            self._drop(self._at)
        raise Unreadable(f"the archive cannot be read at byte {self._at:,}: {reason}")

    def _ask(self) -> None:
        request = self._client.build_request("GET", self._url, headers={"Range": f"bytes={self._at}-"})
        self._answer = self._client.send(request, stream=True)
        if not is_part(self._answer, self._at):
            raise Unreadable(f"the object store answered HTTP {self._answer.status_code}")
        self._chunks = self._answer.iter_raw(_CHUNK_BYTES)

    def _drop(self, at: int | None = None) -> None:
        if self._answer is not None:
            self._answer.close()
        self._answer, self._chunks, self._rest = None, iter(()), b""
        self._at = self._position if at is None else at

    def __enter__(self) -> "HttpSource":
        return self

    def __exit__(self, *_: object) -> None:
        self._drop()
        self._client.close()
