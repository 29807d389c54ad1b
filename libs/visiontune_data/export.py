"""Writes examples as an archive that imports as the same version again: images as they pass, records last."""

import io
import json
import posixpath
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import IO, Any, BinaryIO, Protocol, Self, cast

from visiontune_data.example import Kind
from visiontune_data.exported import CannotExport, ExportedExample, ExportedImage
from visiontune_data.formats import FORMATS, Format
from visiontune_data.limits import MIB
from visiontune_data.naming import ImageNames
from visiontune_data.packing import PACKERS, Archive, Counted, Pack
from visiontune_data.parquet import ParquetSink
from visiontune_data.splits import SPLIT_NAMES
from visiontune_data.webdataset import KINDS as WEBDATASET_KINDS
from visiontune_data.webdataset import NAME as WEBDATASET
from visiontune_data.webdataset import WebDatasetWriter

__all__ = [
    "EXPORTS",
    "Archive",
    "CannotExport",
    "ExportSummary",
    "ExportedExample",
    "ExportedImage",
    "export",
]

_SPOOLED_BYTES = 8 * MIB
# What an export can be written as, and the kinds of examples that each has a place for.
EXPORTS: Mapping[str, Collection[Kind]] = {f.name: f.kinds for f in FORMATS.values()} | {
    WEBDATASET: WEBDATASET_KINDS
}


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What an export wrote; `image_count` counts files, of which several examples may use one."""

    example_count: int
    image_count: int
    split_counts: Mapping[str, int]
    size_bytes: int
    sha256: str  # of the archive, hex


def export(
    examples: Iterable[ExportedExample],
    format_name: str,
    out: BinaryIO,
    *,
    archive: Archive = "tar.gz",
    beside: Mapping[str, bytes] = MappingProxyType({}),
) -> ExportSummary:
    """Writes the examples to `out`, which need not be seekable; holds one example at a time.

    `beside` are more files, by path. The same examples give the same bytes. Raises CannotExport when the
    format has no place for one of them.
    """
    counted = Counted(out)
    with ExitStack() as stack:
        pack = stack.enter_context(PACKERS[archive](cast("BinaryIO", counted)))
        writer: _Writer | WebDatasetWriter
        if format_name == WEBDATASET:
            writer = WebDatasetWriter(pack)
        else:
            writer = _Writer(FORMATS[format_name], pack, stack)
        for example in examples:
            writer.add(example)
        writer.finish()
        for path, content in beside.items():
            pack(path, io.BytesIO(content), len(content))
    return ExportSummary(
        example_count=writer.counts.total(),
        image_count=writer.image_count,
        split_counts={name: writer.counts[name] for name in SPLIT_NAMES if writer.counts[name]},
        size_bytes=counted.size_bytes,
        sha256=counted.hash.hexdigest(),
    )


class _Sink(Protocol):
    """A file of records that is being written, in scratch."""

    def add(self, record: Mapping[str, Any]) -> None: ...
    def finish(self) -> IO[bytes]: ...
    def __enter__(self) -> "_Sink": ...
    def __exit__(self, *exception: object) -> None: ...


class _JsonLines:
    """One record a line."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_SPOOLED_BYTES)  # noqa: SIM115 (closed on leaving)

    def add(self, record: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")

    def finish(self) -> IO[bytes]:
        return self._file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _sink(path: str) -> _Sink:
    return ParquetSink() if path.endswith(".parquet") else _JsonLines()


@dataclass(slots=True)
class _Writer:
    """The files of records of an export, one a split, and the images written so far."""

    format: Format
    pack: Pack
    stack: ExitStack
    images: ImageNames = field(default_factory=ImageNames)
    counts: Counter[str] = field(default_factory=Counter)
    _records: dict[str, _Sink] = field(default_factory=dict)

    def add(self, example: ExportedExample) -> None:
        path = self.format.export_path.format(split=example.split)
        folder = posixpath.dirname(path)
        images = () if self.format.embeds_images else (*example.images, *(example.negatives or ()))
        names = [self._image(image, folder) for image in images]
        record = self.format.record_of(example, names)
        self.counts[example.split] += 1
        if path not in self._records:
            self._records[path] = self.stack.enter_context(_sink(path))
        self._records[path].add(record)

    @property
    def image_count(self) -> int:
        """Files with images."""
        return self.images.count

    def _image(self, image: ExportedImage, folder: str) -> str:
        """The image's path from `folder`, below which it is written unless it is there."""
        path, is_new = self.images.take(image, folder)
        if is_new:
            self.pack(path, io.BytesIO(image.data), len(image.data))
        return posixpath.relpath(path, folder or ".")

    def finish(self) -> None:
        for path, records in sorted(self._records.items()):
            file = records.finish()
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            self.pack(path, file, size)
