"""An archive on this machine as a source."""

import io
from pathlib import Path
from typing import BinaryIO


class LocalSource:
    """A file, or bytes in memory, to import from."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, io.SEEK_END)
        file.seek(0)

    @classmethod
    def open(cls, path: Path) -> "LocalSource":
        """The file at `path`."""
        return cls(path.open("rb"))

    @classmethod
    def of(cls, data: bytes) -> "LocalSource":
        """Bytes in memory."""
        return cls(io.BytesIO(data))

    def seek(self, offset: int, /) -> int:
        """Makes `offset` the place of the next read."""
        return self._file.seek(offset)

    def read(self, length: int, /) -> bytes:
        """At most `length` bytes; empty only at the end."""
        return self._file.read(length)
