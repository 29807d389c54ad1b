"""Writes examples as an archive that imports as the same version again: images as they pass, records last."""

import gzip
import hashlib
import io
import json
import posixpath
import shutil
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import IO, BinaryIO, Literal, Protocol, cast

from typing_extensions import Buffer

from visiontune_data import image_kinds, paths
from visiontune_data.exported import CannotExport, ExportedExample, ExportedImage
from visiontune_data.formats import FORMATS, Format
from visiontune_data.limits import MIB
from visiontune_data.splits import SPLIT_NAMES

__all__ = ["CannotExport", "ExportSummary", "ExportedExample", "ExportedImage", "export"]

Archive = Literal["tar.gz", "tar", "zip"]
_SPOOLED_BYTES = 8 * MIB
_TIME = 315_532_800  # 1980-01-01, the first that a zip can hold; the same data is the same file
_MODE = 0o644


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What an export wrote; `image_count` counts files, of which several examples may use one."""

    example_count: int
    image_count: int
    split_counts: Mapping[str, int]
    size_bytes: int
    sha256: str  # of the archive, hex


def export(
    examples: Iterable[ExportedExample], format_name: str, out: BinaryIO, *, archive: Archive = "tar.gz"
) -> ExportSummary:
    """Writes the examples to `out`, which need not be seekable; holds one example at a time.

    The same examples give the same bytes. Raises CannotExport when the format has no place for one of them.
    """
    counted = _Counted(out)
    with ExitStack() as stack:
        pack = stack.enter_context(_PACKERS[archive](cast("BinaryIO", counted)))
        writer = _Writer(FORMATS[format_name], pack, stack)
        for example in examples:
            writer.add(example)
        writer.finish()
    return ExportSummary(
        example_count=writer.counts.total(),
        image_count=writer.images.count,
        split_counts={name: writer.counts[name] for name in SPLIT_NAMES if writer.counts[name]},
        size_bytes=counted.size_bytes,
        sha256=counted.hash.hexdigest(),
    )


class _Pack(Protocol):
    """Adds a file to the archive that is being written."""

    def __call__(self, path: str, file: IO[bytes], size: int) -> None: ...


@dataclass(slots=True)
class _Names:
    """Paths of images in an archive: the original one, unless another image has it or it is no path."""

    _digests: dict[str, str] = field(default_factory=dict)  # by path

    @property
    def count(self) -> int:
        return len(self._digests)

    def take(self, image: ExportedImage, folder: str) -> tuple[str, bool]:
        """The path of the image below `folder`, and whether the image is not there yet."""
        original = _path_of(image).removeprefix(f"{folder}/")
        stem, suffix = posixpath.splitext(posixpath.join(folder, original))
        endings = ("", f"-{image.sha256[:8]}", f"-{image.sha256}")
        path = next(
            p for e in endings if self._digests.get(p := stem + e + suffix, image.sha256) == image.sha256
        )
        is_new = path not in self._digests
        self._digests[path] = image.sha256
        return path, is_new


@dataclass(slots=True)
class _Writer:
    """The files of records of an export, one a split, and the images written so far."""

    format: Format
    pack: _Pack
    stack: ExitStack
    images: _Names = field(default_factory=_Names)
    counts: Counter[str] = field(default_factory=Counter)
    _records: dict[str, IO[bytes]] = field(default_factory=dict)

    def add(self, example: ExportedExample) -> None:
        path = self.format.export_path.format(split=example.split)
        folder = posixpath.dirname(path)
        names = [self._image(image, folder) for image in (*example.images, *example.negatives)]
        record = self.format.record_of(example, names)
        self.counts[example.split] += 1
        if path not in self._records:
            spooled = tempfile.SpooledTemporaryFile(_SPOOLED_BYTES)  # noqa: SIM115 (the stack closes it)
            self._records[path] = self.stack.enter_context(spooled)
        self._records[path].write(json.dumps(record, ensure_ascii=False).encode() + b"\n")

    def _image(self, image: ExportedImage, folder: str) -> str:
        """The image's path from `folder`, below which it is written unless it is there."""
        path, is_new = self.images.take(image, folder)
        if is_new:
            self.pack(path, io.BytesIO(image.data), len(image.data))
        return posixpath.relpath(path, folder or ".")

    def finish(self) -> None:
        for path, records in sorted(self._records.items()):
            size = records.tell()
            records.seek(0)
            self.pack(path, records, size)


def _path_of(image: ExportedImage) -> str:
    """The image's own path, or one of its digest where that is none that an import would take."""
    path = paths.normalise(image.path)
    is_path = not paths.is_url(image.path) and not paths.is_unsafe(image.path)
    if is_path and paths.suffix(path) in image_kinds.SUFFIXES:
        return path
    kind = image_kinds.read_kind(image.data)
    suffix = next((suffix for suffix, of in image_kinds.SUFFIXES.items() if of == kind), "jpg")
    return f"images/{image.sha256[:16]}.{suffix}"


class _Counted(io.RawIOBase):
    """What is written goes on to `out`, counted and hashed."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self.size_bytes, self.hash = out, 0, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer) -> int:
        self._out.write(data)
        self.hash.update(data)
        length = memoryview(data).nbytes
        self.size_bytes += length
        return length


@contextmanager
def _tar(out: IO[bytes]) -> Iterator[_Pack]:
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:

        def pack(path: str, file: IO[bytes], size: int) -> None:
            header = tarfile.TarInfo(path)
            header.size, header.mtime, header.mode = size, _TIME, _MODE
            archive.addfile(header, file)

        yield pack


@contextmanager
def _tar_gz(out: BinaryIO) -> Iterator[_Pack]:
    # Images hardly shrink: more than the least effort would be spent on them in vain.
    with gzip.GzipFile("", "wb", 1, out, mtime=0) as compressed, _tar(cast("IO[bytes]", compressed)) as pack:
        yield pack


@contextmanager
def _zip(out: BinaryIO) -> Iterator[_Pack]:
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


_PACKERS: Mapping[Archive, Callable[[BinaryIO], AbstractContextManager[_Pack]]] = {
    "tar.gz": _tar_gz,
    "tar": _tar,
    "zip": _zip,
}
