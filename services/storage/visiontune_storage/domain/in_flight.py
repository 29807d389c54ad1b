"""How much of small files a server holds while they arrive, so that its memory stays bounded."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from visiontune_storage.domain.failures import (
    DigestMismatch,
    FileEmpty,
    SizeMismatch,
    TooLargeForOneCall,
    TooMuchInFlight,
)


@dataclass(slots=True)
class InFlight:
    """Bytes of all calls together."""

    limit_bytes: int
    held_bytes: int = 0

    @contextmanager
    def file(self, limit_bytes: int) -> Iterator["ArrivingFile"]:
        """A file of at most so many bytes, whose room is free again after the block."""
        arriving = ArrivingFile(self, limit_bytes, bytearray())
        try:
            yield arriving
        finally:
            self.held_bytes -= len(arriving.content)


@dataclass(frozen=True, slots=True)
class ArrivingFile:
    """One file, as much of it as is there."""

    all_files: InFlight
    limit_bytes: int
    content: bytearray

    def add(self, chunk: bytes) -> None:
        """Takes the next bytes. Raises TooLargeForOneCall, TooMuchInFlight."""
        if len(self.content) + len(chunk) > self.limit_bytes:
            raise TooLargeForOneCall(self.limit_bytes)
        if self.all_files.held_bytes + len(chunk) > self.all_files.limit_bytes:
            raise TooMuchInFlight
        self.all_files.held_bytes += len(chunk)
        self.content.extend(chunk)

    def check(self, filename: str, size_bytes: int, sha256: str) -> None:
        """Raises FileEmpty, SizeMismatch or DigestMismatch. size_bytes: 0 when none was declared."""
        found_bytes = len(self.content)
        if size_bytes not in (0, found_bytes):
            raise SizeMismatch(filename, size_bytes, found_bytes)
        if not found_bytes:
            raise FileEmpty(filename)
        found = hashlib.sha256(self.content).hexdigest()
        if found != sha256:
            raise DigestMismatch(filename, sha256, found)
