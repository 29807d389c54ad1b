"""An archive or a folder on this machine as a source."""

import errno
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from visiontune_data.limits import KIB

_BLOCK = tarfile.BLOCKSIZE
_CHUNK_BYTES = 256 * KIB


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

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class FolderSource:
    """A folder as the tar that would be made of it, in the order of its paths; nothing is written."""

    def __init__(self, folder: Path) -> None:
        self._members = sorted(
            (path.relative_to(folder).as_posix(), path)
            for path in folder.rglob("*")
            if path.is_symlink() or not path.is_dir()
        )
        self._headers = [self._header(name, path) for name, path in self._members]
        padded = (info.size + -info.size % _BLOCK for info, _ in self._headers)
        self.size = sum(len(raw) for _, raw in self._headers) + sum(padded) + 2 * _BLOCK

        self.seek(0)

    @staticmethod
    def _header(name: str, path: Path) -> tuple[tarfile.TarInfo, bytes]:
        info = tarfile.TarInfo(name)
        if path.is_symlink():
            info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
        else:
            info.size = path.stat().st_size
        return info, info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")

    def seek(self, offset: int, /) -> None:
        """Makes `offset` the place of the next read; back to the begin is cheap, elsewhere reads up to it."""
        self._chunks, self._rest = self._stream(), b""
        while offset and (chunk := self.read(min(offset, _CHUNK_BYTES))):
            offset -= len(chunk)

    def read(self, length: int, /) -> bytes:
        """At most `length` bytes; empty only at the end. Raises OSError."""
        if not self._rest:
            self._rest = next(self._chunks, b"")
        data, self._rest = self._rest[:length], self._rest[length:]
        return data

    def _stream(self) -> Iterator[bytes]:
        for (_, path), (info, raw) in zip(self._members, self._headers, strict=True):
            yield raw
            if not info.size:
                continue
            left = info.size
            with path.open("rb") as file:
                while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
                    left -= len(chunk)
                    yield chunk
            if left:
                raise OSError(errno.EIO, "became shorter while it was read", str(path))
            yield bytes(-info.size % _BLOCK)
        yield bytes(2 * _BLOCK)

    def close(self) -> None:
        """Closes nothing: files are open only while they are read."""
