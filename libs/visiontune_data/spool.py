"""Scratch files that only grow. What is in them is found by offset and length, never opened by name."""

import io
import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from typing_extensions import Buffer

from visiontune_data.limits import KIB


class Extent(NamedTuple):
    """A run of bytes in a spool."""

    offset: int
    length: int


class Spool:
    """One append-only scratch file, readable by other processes while it grows."""

    def __init__(self, path: Path, *, existing: bool = False) -> None:
        """Creates the file, or opens an existing one to read it."""
        self.path = path
        self._file = path.open("rb" if existing else "w+b", buffering=0)
        self._end = path.stat().st_size

    def open(self, extent: Extent) -> io.BufferedReader:
        """The extent as a file of its own."""
        return io.BufferedReader(_View(self, extent), 256 * KIB)

    def append(self, chunks: Iterable[bytes]) -> Extent:
        """Writes all chunks as one extent."""
        start = self._end
        for chunk in chunks:
            written = self._file.write(chunk)
            while written < len(chunk):
                written += self._file.write(memoryview(chunk)[written:])
            self._end += len(chunk)
        return Extent(start, self._end - start)

    def append_each(self, pieces: Sequence[bytes]) -> list[Extent]:
        """Writes each piece as an extent, all at once."""
        ends = list(itertools.accumulate(map(len, pieces), initial=self._end))
        self.append([b"".join(pieces)])
        return [Extent(start, end - start) for start, end in itertools.pairwise(ends)]

    def read(self, extent: Extent) -> bytes:
        """The bytes of an extent."""
        return os.pread(self._file.fileno(), extent.length, extent.offset)

    def read_into(self, extent: Extent, buffer: memoryview) -> None:
        """Fills `buffer`, which is as long as the extent. Raises EOFError when the file is shorter."""
        done = 0
        while done < extent.length:
            read = os.preadv(self._file.fileno(), [buffer[done:]], extent.offset + done)
            if not read:
                raise EOFError(f"{self.path} ends within {extent}")
            done += read

    def leave(self) -> None:
        """Closes the file, which stays for others."""
        self._file.close()

    def close(self) -> None:
        """Closes and removes the file."""
        self.leave()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _View(io.RawIOBase):
    """One extent, read as a file."""

    def __init__(self, spool: Spool, extent: Extent) -> None:
        self._spool, self._extent, self._position = spool, extent, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._extent.length}[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        length = min(len(view), self._extent.length - self._position)
        if length <= 0:
            return 0
        self._spool.read_into(Extent(self._extent.offset + self._position, length), view[:length])
        self._position += length
        return length
