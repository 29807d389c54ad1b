"""Writes archives to a stream, the same bytes for the same files."""

import gzip
import hashlib
import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import IO, BinaryIO, Literal, Protocol, cast

from typing_extensions import Buffer

from visiontune_data import image_kinds, paths
from visiontune_data.limits import MIB

Archive = Literal["tar.gz", "tar", "zip"]
_TIME = 315_532_800  # 1980-01-01, the first that a zip can hold
_MODE = 0o644


class Pack(Protocol):
    """Adds a file to the archive that is being written."""

    def __call__(self, path: str, file: IO[bytes], size: int) -> None:
        """Reads `size` bytes of `file`."""


class Counted(io.RawIOBase):
    """What is written goes on to `out`, counted and hashed."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self.size_bytes, self.hash = out, 0, hashlib.sha256()

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Buffer) -> int:
        """Writes, as of a file."""
        self._out.write(data)
        self.hash.update(data)
        length = memoryview(data).nbytes
        self.size_bytes += length
        return length


@contextmanager
def _tar(out: IO[bytes]) -> Iterator[Pack]:
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:

        def pack(path: str, file: IO[bytes], size: int) -> None:
            header = tarfile.TarInfo(path)
            header.size, header.mtime, header.mode = size, _TIME, _MODE
            archive.addfile(header, file)

        yield pack


@contextmanager
def _tar_gz(out: BinaryIO) -> Iterator[Pack]:
    # Images hardly shrink: more than the least effort would be spent on them in vain.
    with gzip.GzipFile("", "wb", 1, out, mtime=0) as compressed, _tar(cast("IO[bytes]", compressed)) as pack:
        yield pack


@contextmanager
def _zip(out: BinaryIO) -> Iterator[Pack]:
    with zipfile.ZipFile(out, "w") as archive:

        def pack(path: str, file: IO[bytes], size: int) -> None:
            header = zipfile.ZipInfo(path)
            header.external_attr = _MODE << 16
            is_image = paths.suffix(path) in image_kinds.SUFFIXES
            header.compress_type = zipfile.ZIP_STORED if is_image else zipfile.ZIP_DEFLATED
            header.file_size = size
            with archive.open(header, "w") as member:
                shutil.copyfileobj(file, member, MIB)

        yield pack


PACKERS: Mapping[Archive, Callable[[BinaryIO], AbstractContextManager[Pack]]] = {
    "tar.gz": _tar_gz,
    "tar": _tar,
    "zip": _zip,
}
