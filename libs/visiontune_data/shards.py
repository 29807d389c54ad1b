"""Writes examples as Parquet: shards that Hugging Face `datasets` and TRL read, and previews beside them."""

import hashlib
import itertools
import mmap
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from visiontune_data.columns import COLUMNS, PICTURES, parquet_options, schema
from visiontune_data.decoding import Thumb
from visiontune_data.example import Example, Image, canonical_text
from visiontune_data.limits import MIB
from visiontune_data.previews import frames_of, message_of, stored_messages
from visiontune_data.spool import Extent, Spool

SHARD_BYTES: Final = 128 * MIB
ROW_GROUP_ROWS: Final = 100
ROW_GROUP_BYTES: Final = 16 * MIB

PREVIEW_SCHEMA: Final = pa.schema(
    [
        ("example", pa.string()),
        ("thumbnail", pa.binary()),
        ("width_px", pa.int32()),
        ("height_px", pa.int32()),
    ]
)


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A finished Parquet file in scratch."""

    path: Path
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard and its preview. Their rows are the same examples in the same order."""

    index: int
    row_count: int
    split_counts: dict[str, int]
    examples: ShardFile
    preview: ShardFile


class ShardWriter:
    """Writes examples into shards of about 128 MB, a row group at a time, in a thread of its own.

    As a context manager it waits for that thread; only `close` finishes what was added.
    """

    def __init__(
        self,
        scratch: Path,
        columns: Sequence[str],
        images: Spool,
        thumbnails: "Thumbnails",
        finished: Callable[[Shard], None],
        shard_bytes: int = SHARD_BYTES,
        first_index: int = 0,
    ) -> None:
        self._scratch, self._schema, self._images, self._thumbnails = (
            scratch,
            schema(columns),
            images,
            thumbnails,
        )
        self._finished, self._shard_bytes = finished, shard_bytes
        self._rows: list[Example] = []
        self._rows_bytes = 0
        self._rooms = (_Room(), _Room())  # of the row group that is made, and of the one that is written
        self._open: OpenShard | None = None
        self._index = first_index
        # Arrow's writing and sha256 let other threads run: the next row group is made meanwhile.
        self._thread = ThreadPoolExecutor(1, "shards")
        self._writing: Future[Shard | None] | None = None

    def add(self, example: Example) -> None:
        """Adds one example, whose images are in the spool."""
        size = sum(image.length for image in example.all_images)
        if self._rows and (len(self._rows) == ROW_GROUP_ROWS or self._rows_bytes + size > ROW_GROUP_BYTES):
            self._flush()
        self._rows.append(example)
        self._rows_bytes += size

    def close(self) -> None:
        """Finishes the last shard."""
        if self._rows:
            self._flush()
        self._settle()
        if self._open:
            self._finished(self._finish(self._open))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def _flush(self) -> None:
        """Has the row group written; at most one other is in memory then."""
        messages = [messages_of(row) for row in self._rows]
        room, later = self._rooms
        batches = (
            _examples_batch(self._rows, messages, self._schema, self._images, room),
            _preview_batch(self._rows, messages, self._thumbnails, room),
        )
        self._rooms = later, room
        splits = Counter(row.split for row in self._rows)
        self._settle()
        self._writing = self._thread.submit(self._write_row_group, batches, splits)
        self._rows, self._rows_bytes = [], 0

    def _settle(self) -> None:
        """Waits for the row group that is being written; announces its shard if it was the last of it."""
        if self._writing and (shard := self._writing.result()):
            self._finished(shard)
        self._writing = None

    def _write_row_group(self, batches: "Batches", splits: Counter[str]) -> Shard | None:
        if self._open is None:
            self._open = OpenShard(self._scratch, self._index, self._schema)
        self._open.write(batches, splits)
        return self._finish(self._open) if self._open.size_bytes >= self._shard_bytes else None

    def _finish(self, shard: "OpenShard") -> Shard:
        self._open = None
        self._index += 1
        return shard.finish()


Batches = tuple[pa.RecordBatch, pa.RecordBatch]  # of examples and of their previews


class OpenShard:
    """The two files of the shard that is being written."""

    def __init__(self, scratch: Path, index: int, shard_schema: pa.Schema) -> None:
        self._index = index
        self._files = [
            _DigestedFile(scratch / f"{name}-{index:05d}.parquet") for name in ("examples", "preview")
        ]
        self._writers = [
            pq.ParquetWriter(file.sink, schema_, **parquet_options(schema_, stored))
            for file, schema_, stored in zip(
                self._files,
                (shard_schema, PREVIEW_SCHEMA),
                (PICTURES, {"thumbnail"}),
                strict=True,
            )
        ]
        self._splits: Counter[str] = Counter()

    @property
    def size_bytes(self) -> int:
        """What the file of examples has so far."""
        return int(self._files[0].sink.tell())

    def write(self, batches: Batches, splits: Counter[str]) -> None:
        """Appends one row group to each file."""
        for writer, batch in zip(self._writers, batches, strict=True):
            # The same bytes as of `write_batch`, which would gather the row group's pages in memory first.
            writer.write_table(pa.Table.from_batches([batch]), row_group_size=batch.num_rows)
        for file in self._files:
            file.hash_on()
        self._splits.update(splits)

    def finish(self) -> Shard:
        """Closes the files."""
        for writer in self._writers:
            writer.close()
        examples, preview = (file.finish() for file in self._files)
        return Shard(self._index, self._splits.total(), dict(self._splits), examples, preview)


class _DigestedFile:
    """Arrow writes it forwards, without waiting for Python at each piece; what is written is hashed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.sink = pa.OSFile(str(path), "wb")
        self._written = path.open("rb", buffering=0)
        self._sha256 = hashlib.sha256()
        self._hashed_bytes = 0

    def hash_on(self) -> None:
        """Hashes what was written since, at once: between pieces a thread waits for Python."""
        start, end = self._hashed_bytes, int(self.sink.tell())
        if start == end:  # nothing can be mapped
            return
        page = start - start % mmap.ALLOCATIONGRANULARITY
        with (
            mmap.mmap(self._written.fileno(), end - page, access=mmap.ACCESS_READ, offset=page) as window,
            memoryview(window) as view,
            view[start - page :] as new,
        ):
            self._sha256.update(new)
        self._hashed_bytes = end

    def finish(self) -> ShardFile:
        """Closes the file, and says what it is."""
        self.hash_on()
        self.sink.close()
        self._written.close()
        return ShardFile(self._path, self._sha256.hexdigest(), self._hashed_bytes)


class _Room:
    """Memory for the pictures of one row group after another: fresh memory costs more than what goes in."""

    def __init__(self) -> None:
        self._of: dict[str, npt.NDArray[np.uint8]] = {}

    def of(self, column: str, size: int) -> npt.NDArray[np.uint8]:
        """`size` bytes for a column, those of its last row group."""
        if column not in self._of or self._of[column].size < size:
            self._of[column] = np.empty(max(size, ROW_GROUP_BYTES), np.uint8)
        return self._of[column][:size]


def _examples_batch(
    rows: Sequence[Example], messages: Sequence[Any], to: pa.Schema, images: Spool, room: _Room
) -> pa.RecordBatch:
    columns = {name: text_column(name, rows, messages) for name in to.names}
    of_images: dict[str, list[tuple[Image, ...] | None]] = {
        "images": [row.images for row in rows],
        "negatives": [row.negatives for row in rows],
    }
    columns |= {
        name: _image_column(name, of_images[name], images, room) for name in to.names if name in of_images
    }
    return pa.record_batch([columns[name] for name in to.names], schema=to)


def messages_of(row: Example) -> list[dict[str, Any]]:
    """The messages as previews hold them, and shards once `stored_messages` went over them."""
    return list(map(message_of, row.messages))


def text_column(name: str, rows: Sequence[Example], messages: Sequence[Any]) -> pa.Array | None:
    """A column of a shard, `messages` as `messages_of` gives them; None for one with images."""
    match name:
        case "id":
            values: Sequence[Any] = [row.id for row in rows]
        case "messages":
            values = [stored_messages(each) for each in messages]
        case "frames":
            values = list(map(frames_of, messages))
        case "texts":
            values = [list(row.texts) for row in rows]
        case "split":
            values = [row.split for row in rows]
        case "metadata":
            values = [row.metadata_json or "{}" for row in rows]
        case _:
            return None
    return pa.array(values, COLUMNS[name][0])


def _image_column(
    name: str, rows: Sequence[tuple[Image, ...] | None], images: Spool, room: _Room
) -> pa.Array:
    """`list<struct<bytes, path>>`, its bytes read from the spool straight into Arrow's buffer."""
    flat = [image for row in rows for image in row or ()]
    data = _binary(name, [(images, Extent(image.offset, image.length)) for image in flat], room)
    paths = pa.array([image.path for image in flat], pa.string())
    offsets = pa.array(np.cumsum([0, *(len(row or ()) for row in rows)]), pa.int32())
    return pa.ListArray.from_arrays(
        offsets,
        pa.StructArray.from_arrays([data, paths], ["bytes", "path"]),
        mask=pa.array([row is None for row in rows]),
    )


def _binary(name: str, pieces: Sequence[tuple[Spool, Extent]], room: _Room) -> pa.Array:
    """A binary array of what the extents hold."""
    offsets = np.zeros(len(pieces) + 1, dtype=np.int32)
    np.cumsum([extent.length for _, extent in pieces], out=offsets[1:])
    values = room.of(name, int(offsets[-1]))
    start, memory = 0, values.data
    for spool, extent in pieces:
        spool.read_into(extent, memory[start : start + extent.length])
        start += extent.length
    return pa.Array.from_buffers(
        pa.binary(), len(pieces), [None, pa.py_buffer(offsets), pa.py_buffer(values)]
    )


class Thumbnails:
    """The thumbnails that decoding left in scratch, by image path."""

    def __init__(self, thumbs: dict[str, Thumb]) -> None:
        self._thumbs = thumbs
        self._spools = {
            name: Spool(Path(name), existing=True) for name in {thumb.file for thumb in thumbs.values()}
        }

    def find(self, image: Image) -> tuple[Spool, Thumb]:
        """Where the thumbnail is, and in which file."""
        thumb = self._thumbs[image.path]
        return self._spools[thumb.file], thumb

    def close(self) -> None:
        """Closes the files."""
        for spool in self._spools.values():
            spool.close()


def _preview_batch(
    rows: Sequence[Example], messages: Sequence[Any], thumbnails: Thumbnails, room: _Room
) -> pa.RecordBatch:
    shown = [thumbnails.find(row.images[0]) if row.images else None for row in rows]
    there = _binary("thumbnail", [(spool, thumb.extent) for spool, thumb in filter(None, shown)], room)
    columns = [
        pa.array(list(map(preview_json, rows, messages)), pa.string()),
        there if len(there) == len(rows) else there.take(_places(shown)),
        pa.array([each[1].width_px if each else 0 for each in shown], pa.int32()),
        pa.array([each[1].height_px if each else 0 for each in shown], pa.int32()),
    ]
    return pa.record_batch(columns, schema=PREVIEW_SCHEMA)


def _places(shown: Sequence[object]) -> pa.Array:
    """The place of each among those that are there; null for the others."""
    count = itertools.count()
    return pa.array([next(count) if each else None for each in shown], pa.int32())


def preview_json(row: Example, messages: Any) -> str:
    """An example without image bytes, as the preview's `example` column holds it."""
    shown = {
        "id": row.id,
        "messages": messages,
        "texts": list(row.texts),
        "images": list(map(_facts, row.images)),
        "split": row.split,
        "metadata": row.metadata_json or "{}",
        "problems": list(row.problems),
    }
    if row.negatives is not None:
        shown["negatives"] = list(map(_facts, row.negatives))
    return canonical_text(shown)


def _facts(image: Image) -> list[Any]:
    return [
        image.path,
        image.sha256,
        image.width_px,
        image.height_px,
        image.format,
        image.length,
        image.brightness,
        image.phash,
    ]
