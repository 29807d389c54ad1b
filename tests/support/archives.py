"""Archives built in memory, good and bad, and the import of one in this process."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from visiontune_data.carrying import BaseShard
from visiontune_data.ingest import Options, Outcome, ingest
from visiontune_data.joining import Base
from visiontune_data.local import LocalSource
from visiontune_data.report import Report
from visiontune_data.version import Version

Files = Mapping[str, bytes]
HERE = Options(processes=0)  # decodes in the test's own process


def tar(files: Files) -> bytes:
    """A tar with these files, in order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            archive.addfile(tar_header(name, data), io.BytesIO(data))
    return buffer.getvalue()


def tar_header(name: str, data: bytes = b"", **fields: Any) -> tarfile.TarInfo:
    """A member's header; `fields` are attributes of tarfile.TarInfo."""
    header = tarfile.TarInfo(name)
    header.size = len(data)
    for field, value in fields.items():
        setattr(header, field, value)
    return header


def tar_of(*headers: tarfile.TarInfo) -> bytes:
    """A tar of members without bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for header in headers:
            archive.addfile(header)
    return buffer.getvalue()


def gz(data: bytes) -> bytes:
    """Bytes as one gzip member, the same each time."""
    import gzip  # noqa: PLC0415 (its name is that of the kind below)

    return gzip.compress(data, 6, mtime=0)


def tar_gz(files: Files) -> bytes:
    """A compressed tar."""
    return gz(tar(files))


def zip_(files: Files) -> bytes:
    """A zip, deflated."""
    return zip_of({zipfile.ZipInfo(name): data for name, data in files.items()})


def zip_of(files: Mapping[zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip with members whose headers the caller made."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for header, data in files.items():
            archive.writestr(header, data, compress_type=method)
    return buffer.getvalue()


PACKERS: Mapping[str, Callable[[Files], bytes]] = {"tar": tar, "tar.gz": tar_gz, "zip": zip_}


def jsonl(*records: Any) -> bytes:
    """Records, one a line."""
    return b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)


def parquet(rows: Sequence[Mapping[str, Any]], schema: pa.Schema | None = None) -> bytes:
    """Rows as a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), buffer)
    return buffer.getvalue()


def llava(image: Any = None, answer: str = "Seven.", question: str = "", **more: Any) -> dict[str, Any]:
    """A record of the format llava; `image` is a path, a list of them or absent."""
    count = 0 if image is None else len(image) if isinstance(image, list) else 1
    turns = [
        {"from": "human", "value": question or "<image>" * count + "What digit is this?"},
        {"from": "gpt", "value": answer},
    ]
    return ({} if image is None else {"image": image}) | {"conversations": turns} | more


@cache
def picture(seed: int = 0, format_: str = "JPEG", size: tuple[int, int] = (48, 40)) -> bytes:
    """A picture of smooth noise."""
    noise = np.random.default_rng(seed).integers(0, 255, (5, 6, 3), dtype=np.uint8)
    return encoded(Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC), format_)


@cache
def video(
    count: int, container: str = "mp4", codec: str = "mpeg4", size: tuple[int, int] = (64, 48)
) -> bytes:
    """A video whose frame `n` is of the grey `10 * n`."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=10, width=size[0], height=size[1], pix_fmt="yuv420p")
        for number in range(count):
            grey = np.full((size[1], size[0], 3), 10 * number % 256, dtype=np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        output.mux(stream.encode())
    return buffer.getvalue()


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    """An image as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def good(count: int = 3, *, folder: str = "img") -> dict[str, bytes]:
    """A small llava dataset without any problem: metadata first, then the images."""
    names = [f"{folder}/{index:04d}.jpg" for index in range(count)]
    records = [llava(name, f"Answer {index}.") for index, name in enumerate(names)]
    return {"train.jsonl": jsonl(*records)} | {name: picture(i) for i, name in enumerate(names)}


def numbered(count: int, size: tuple[int, int] = (64, 48)) -> dict[str, bytes]:
    """A llava dataset of noise, whose records have ids: images that hardly compress."""
    pictures = {image_name(number): noise(number, size) for number in range(count)}
    return {"train.jsonl": jsonl(*map(numbered_record, range(count)))} | pictures


def numbered_record(number: int) -> dict[str, Any]:
    """The record of one image of `numbered`."""
    return llava(image_name(number), f"It is number {number}.", id=f"r{number}")


def image_name(number: int) -> str:
    """The path of one image of `numbered`."""
    return f"images/{number:03d}.jpg"


def captions(count: int) -> dict[str, bytes]:
    """An image-caption dataset of noise."""
    records = [{"file_name": f"{n:03d}.jpg", "text": f"noise number {n}"} for n in range(count)]
    return {"metadata.jsonl": jsonl(*records)} | {f"{n:03d}.jpg": noise(n) for n in range(count)}


@cache
def noise(seed: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """A JPEG whose every pixel is drawn: about a byte a pixel."""
    width, height = size
    drawn = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return encoded(Image.fromarray(drawn), "JPEG", quality=95)


def pack(files: Files, filename: str) -> bytes:
    """The files in the kind of archive that the name says."""
    return PACKERS[filename.partition(".")[2]](files)


def run(
    data: bytes,
    scratch: Path,
    name: str = "digits.tar",
    options: Options = HERE,
    *,
    base: Base | None = None,
    **more: Any,
) -> Outcome:
    """Imports an archive into an empty folder below `scratch`; `more` are fields of Options."""
    folder = scratch / f"import-{len(list(scratch.glob('import-*')))}"
    folder.mkdir()
    return ingest(LocalSource(io.BytesIO(data)), name, folder, replace(options, **more), base=base)


def shards_of(version: Version) -> list[BaseShard]:
    """The shards of a version whose files are in scratch, to make another of."""
    return [
        BaseShard(shard, partial(io.FileIO, shard.examples.path), partial(io.FileIO, shard.preview.path))
        for shard in version.shards
    ]


def joined(outcome: Outcome, base: Version) -> Version:
    """The version that was made on a base, with the files of shared shards where they lie."""
    assert outcome.version is not None, texts(outcome.report)
    shards = (
        base.shards[outcome.shared[place]] if place in outcome.shared else shard
        for place, shard in enumerate(outcome.version.shards)
    )
    return replace(outcome.version, shards=tuple(shards))


def texts(report: Report, rule: str = "") -> list[str]:
    """The kept problems of a report, or of one rule, as lines."""
    found = [s for s in report.rules if rule in {"", s.rule}]
    return [problem.text(report.archive) for summary in found for problem in summary.problems]
