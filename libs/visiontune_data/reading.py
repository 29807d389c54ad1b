"""The one pass over what is imported: images go to a spool and the decoder, files of records to another."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from visiontune_data import frames, image_kinds, images, inputs, parquet, paths
from visiontune_data.archive.refused import refuse
from visiontune_data.decoding import Decoder, Task
from visiontune_data.limits import Limits
from visiontune_data.naming import ImageNames
from visiontune_data.report import Place, Problem, Report
from visiontune_data.spool import Extent, Spool

_RECORD_SUFFIXES = frozenset({"json", "jsonl", "csv", "tsv", "txt"})
_IMAGE_SUFFIXES = image_kinds.SUFFIXES.keys() | image_kinds.UNSUPPORTED_SUFFIXES


@dataclass(slots=True)
class Content:
    """What an archive holds. `refused` are image files too large to be spooled.

    `places` are those of the records that brought images along, by the path that these got.
    """

    image_paths: list[str] = field(default_factory=list)
    refused: dict[str, Problem] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    videos: dict[str, Extent | None] = field(default_factory=dict)  # None: too large to be spooled
    record_files: dict[str, Extent] = field(default_factory=dict)
    other_paths: list[str] = field(default_factory=list)


def read(
    given: Sequence[inputs.Input],
    report: Report,
    limits: Limits,
    spools: "Spools",
    decoder: Decoder,
    progress: Callable[[], None],
) -> Content:
    """Reads everything once. Raises archive.Refused."""
    content, names = Content(), ImageNames()

    def take(path: str, data: bytes) -> None:
        take_image(path, len(data), [data], content, limits, spools.images, decoder)

    for file in inputs.files(given, report, limits):
        suffix = paths.suffix(file.path)
        if suffix in _RECORD_SUFFIXES:
            content.record_files[file.path] = spools.records.append(file.chunks)
        elif suffix == "parquet":
            packed = spools.records.open(spools.records.append(file.chunks))
            lines = parquet.unpack(packed, file.path, names, limits, take)
            content.record_files[file.path] = spools.records.append(lines)
        elif suffix in frames.SUFFIXES:
            fits = file.size <= limits.video_bytes
            content.videos[file.path] = spools.images.append(file.chunks) if fits else None
        elif suffix in _IMAGE_SUFFIXES:
            take_image(file.path, file.size, file.chunks, content, limits, spools.images, decoder)
        else:
            content.other_paths.append(file.path)
        progress()
    return content


def take_image(
    path: str, size: int, chunks: Iterable[bytes], content: Content, limits: Limits, spool: Spool,
    decoder: Decoder,
) -> None:  # fmt: skip
    """Spools an image and has it decoded. Raises archive.Refused when there are too many."""
    content.image_paths.append(path)
    if len(content.image_paths) > limits.images:
        message = f"the archive has more than {limits.images:,} images, the limit of one dataset"
        raise refuse("limit-images", message)
    if size > limits.image_bytes:
        content.refused[path] = images.too_large(path, size, limits)
        return
    decoder.submit(Task(path, spool.append(chunks)))


@dataclass(slots=True)
class Spools:
    """The scratch files of one import."""

    images: Spool
    records: Spool
    examples: Spool

    def __iter__(self) -> Iterator[Spool]:
        yield from (self.images, self.records, self.examples)
