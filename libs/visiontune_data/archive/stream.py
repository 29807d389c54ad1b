"""Bytes on their way in: plain or gzip, counted against decompression bombs, read in exact lengths."""

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from visiontune_data.archive.refused import refuse
from visiontune_data.limits import KIB, Limits
from visiontune_data.report import ARCHIVE, Problem

CHUNK_BYTES = 256 * KIB
_GZIP_MAGIC = b"\x1f\x8b"


class Source(Protocol):
    """Where an archive's bytes come from: a file, or an object read over HTTP. Mostly read forwards."""

    @property
    def size(self) -> int:
        """Length in bytes."""
        ...

    def seek(self, offset: int, /) -> object:
        """Makes `offset` the place of the next read."""
        ...

    def read(self, length: int, /) -> bytes:
        """At most `length` bytes; empty only at the end."""
        ...


class Guard:
    """Counts what goes in and what comes out, and stops what expands beyond reason."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.consumed = 0
        self.produced = 0

    def took(self, length: int) -> None:
        """Notes compressed bytes read."""
        self.consumed += length

    def gave(self, length: int) -> None:
        """Notes bytes that came out of them; raises Refused beyond the ratio or the total."""
        self.produced += length
        limits = self._limits
        if self.produced > limits.archive_bytes:
            raise refuse("archive-bomb", f"more than {limits.archive_bytes:,} bytes come out of the archive")
        if self.produced > limits.expansion_free_bytes + limits.expansion_ratio * self.consumed:
            raise refuse(
                "archive-bomb",
                f"{self.consumed:,} bytes expand to more than {self.produced:,}; "
                f"at most {limits.expansion_ratio} times is read",
            )


def plain(source: Source, guard: Guard) -> Iterator[bytes]:
    """The source's bytes as they are."""
    while chunk := source.read(CHUNK_BYTES):
        guard.took(len(chunk))
        guard.gave(len(chunk))
        yield chunk


def gunzip(source: Source, guard: Guard, warn: Callable[[Problem], None]) -> Iterator[bytes]:
    """The bytes inside a gzip file of one or more members, each checked by its CRC and length.

    Raises Refused when it is corrupt or ends early. Bytes after the last member are ignored with a
    warning; zeros silently.
    """
    pending = source.read(CHUNK_BYTES)
    guard.took(len(pending))
    while pending.startswith(_GZIP_MAGIC):
        inflater = zlib.decompressobj(wbits=31)
        while not inflater.eof:
            try:
                chunk = inflater.decompress(pending, CHUNK_BYTES)
            except zlib.error as error:
                reason = str(error).partition(": ")[2] or str(error)
                raise refuse(
                    "gzip-corrupt", f"the gzip data is corrupt near byte {guard.consumed:,} ({reason})"
                ) from error
            if chunk:
                guard.gave(len(chunk))
                yield chunk
            pending = inflater.unconsumed_tail
            if not pending and not inflater.eof:
                pending = source.read(CHUNK_BYTES)
                guard.took(len(pending))
                if not pending and not chunk:
                    raise refuse(
                        "archive-truncated",
                        f"the gzip data ends after {guard.consumed:,} bytes, before its end",
                    )
        pending = inflater.unused_data
        if len(pending) < len(_GZIP_MAGIC):
            more = source.read(CHUNK_BYTES)
            guard.took(len(more))
            pending += more
    _warn_about_rest(pending, source, warn)


def _warn_about_rest(pending: bytes, source: Source, warn: Callable[[Problem], None]) -> None:
    ignored, meant = 0, False
    while pending:
        ignored += len(pending)
        meant = meant or pending.count(0) < len(pending)
        pending = source.read(CHUNK_BYTES)
    if meant:
        warn(trailing(ignored))


def trailing(length: int) -> Problem:
    """The warning about bytes after an archive's end."""
    return Problem("trailing-data", ARCHIVE, f"{length:,} bytes after the end of the archive were ignored")


class ByteStream:
    """Reads of exact lengths over chunks of any length."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")
        self.offset = 0

    def read(self, length: int) -> bytes:
        """`length` bytes; fewer only at the end of the stream."""
        pieces: list[memoryview] = []
        wanted = length
        while wanted:
            if not self._rest:
                self._rest = memoryview(next(self._chunks, b""))
                if not self._rest:
                    break
            piece = self._rest[:wanted]
            self._rest = self._rest[len(piece) :]
            wanted -= len(piece)
            pieces.append(piece)
        self.offset += length - wanted
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    def rest(self) -> Iterator[bytes]:
        """Everything that is left, chunk by chunk."""
        while chunk := self.read(CHUNK_BYTES):
            yield chunk
