"""Shards of a dataset version on the scratch disk: fetched ahead, verified, at most so many bytes of them."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from visiontune_worker.claim import Manifest
from visiontune_worker.faults import DataFault, PassingFault
from visiontune_worker.transfer import Transfer, UrlRefused

COLUMNS = ("id", "images", "messages", "frames", "texts", "negatives", "split", "metadata")
# Opened shards in memory: the one that is read and the one after it.
MOST_OPEN = 2
RENEWALS = 3


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a dataset version."""

    name: str  # …/versions/{version}/examples/{row}
    id: str
    images: Sequence[bytes]
    messages: Sequence[dict[str, Any]]
    # Where among the images a video begins, and of how many frames; in the messages each frame is an image.
    videos: Mapping[int, int] = field(default_factory=dict)
    # Captions of the images, or what is to find them; beside messages the answer that was rejected.
    texts: Sequence[str] = ()
    # Images that the texts shall not find.
    negatives: Sequence[bytes] = ()
    # Names of the images, then of the negatives.
    image_paths: Sequence[str] = ()
    # An object of what else the record said.
    metadata_json: str = "{}"

    @property
    def row(self) -> int:
        """Its number in the version, from 0."""
        return int(self.name.rpartition("/")[2])


def example_of(name: str, columns: Mapping[str, Any]) -> Example:
    """The example in the columns of a row."""
    return Example(
        name=name,
        id=columns["id"],
        images=[image["bytes"] for image in columns.get("images") or ()],
        messages=columns.get("messages") or (),
        texts=columns.get("texts") or (),
        negatives=[image["bytes"] for image in columns.get("negatives") or ()],
        image_paths=[
            image["path"] or "" for name in ("images", "negatives") for image in columns.get(name) or ()
        ],
        videos={each["first"]: each["count"] for each in columns.get("frames") or ()},
        metadata_json=columns.get("metadata") or "{}",
    )


def texts_of(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """All texts in columns `texts` and `messages`: captions, and what is said in conversations."""
    for row in rows:
        yield from row.get("texts") or ()
        for message in row.get("messages") or ():
            yield from (part["text"] for part in message["content"] or () if part["text"])


@dataclass(frozen=True, slots=True)
class _Opened:
    """A shard in memory by its columns, and where in it the examples of a split are."""

    columns: Mapping[str, pa.ChunkedArray]
    places: Sequence[int]


class Shards:
    """Read access to the examples of a manifest.

    Each shard is fetched once, as long as all fit into `limit_bytes`; else the one used longest ago goes.
    renew: gives the manifest with fresh URLs, when a URL is refused.
    """

    def __init__(
        self,
        manifest: Manifest,
        folder: Path,
        transfer: Transfer,
        *,
        limit_bytes: int,
        renew: Callable[[], Manifest],
    ) -> None:
        self._manifest = manifest
        self._folder = folder
        self._transfer = transfer
        self._limit_bytes = limit_bytes
        self._renew = renew
        self._lock = threading.Lock()
        self._opening = threading.Lock()  # so that no two threads read the same table
        self._files: OrderedDict[int, Future[Path]] = OrderedDict()
        self._open: OrderedDict[tuple[int, str], _Opened] = OrderedDict()
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="shards")
        self._first_row = [0, *accumulate(each.rows for each in manifest.shards)]

    def close(self) -> None:
        """Stops fetching."""
        self._pool.shutdown(cancel_futures=True)

    def counts(self, split: str) -> tuple[int, ...]:
        """Examples of a split in each shard."""
        return tuple(each.split_counts.get(split, 0) for each in self._manifest.shards)

    def prefetch(self, indices: Iterable[int]) -> None:
        """Starts to fetch shards that will be needed, as far as they fit."""
        room = self._limit_bytes
        for index in indices:
            room -= self._manifest.shards[index].size_bytes
            if room < 0:
                return
            self._file(index)

    def example(self, split: str, shard: int, nth: int) -> Example:
        """The `nth` example of a split within a shard. Waits for the shard."""
        opened = self._opened(shard, split)
        if nth >= len(opened.places):
            raise DataFault(
                "SHARD_NOT_AS_LISTED",
                f"Shard {shard} has {len(opened.places)} {split} examples, fewer than its manifest says.",
            )
        place = opened.places[nth]
        name = f"{self._manifest.version}/examples/{self._first_row[shard] + place}"
        # Half the work of a row of the table.
        return example_of(name, {column: values[place].as_py() for column, values in opened.columns.items()})

    def texts(self, split: str) -> Iterator[str]:
        """All texts of a split in order: captions, and what is said in conversations."""
        for index, count in enumerate(self.counts(split)):
            if count:
                yield from texts_of(self.rows(split, index, ["messages", "texts"]))

    def rows(self, split: str, index: int, columns: list[str]) -> list[dict[str, Any]]:
        """Some columns of a split's examples in a shard, in order. Waits for the shard."""
        found: list[dict[str, Any]] = self._read(index, columns, [("split", "=", split)]).to_pylist()
        return found

    def path(self, index: int) -> Path:
        """Where a shard lies on disk. Waits until it is there."""
        return self._file(index).result()

    def _opened(self, index: int, split: str) -> _Opened:
        return self._already_open(index, split) or self._newly_opened(index, split)

    def _already_open(self, index: int, split: str) -> _Opened | None:
        with self._lock:
            if (index, split) in self._open:
                self._open.move_to_end((index, split))
            return self._open.get((index, split))

    def _newly_opened(self, index: int, split: str) -> _Opened:
        with self._opening:
            return self._already_open(index, split) or self._open_now(index, split)

    def _open_now(self, index: int, split: str) -> _Opened:
        table = self._read(index, list(COLUMNS))
        splits = table.column("split").to_pylist()
        places = [place for place, found in enumerate(splits) if found == split]
        opened = _Opened(dict(zip(table.column_names, table.columns, strict=True)), places)
        with self._lock:
            self._open[index, split] = opened
            while len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
        return opened

    def _read(self, index: int, columns: list[str], filters: Any = None) -> pa.Table:
        while True:
            try:
                with pq.ParquetFile(self.path(index), memory_map=True) as file:
                    there = [name for name in columns if name in file.schema_arrow.names]
                    if filters is None:  # half the work of read_table
                        return file.read(columns=there)
                return pq.read_table(self.path(index), columns=there, filters=filters)
            except FileNotFoundError:
                # Another thread made room between the wait and the read: fetch it again.
                with self._lock:
                    self._files.pop(index, None)

    def _file(self, index: int) -> Future[Path]:
        with self._lock:
            if index in self._files and not _failed(self._files[index]):
                self._files.move_to_end(index)
            else:
                self._files[index] = self._pool.submit(self._fetch, index)
                self._make_room(keep=index)
            return self._files[index]

    def _make_room(self, keep: int) -> None:
        kept = sum(self._manifest.shards[index].size_bytes for index in self._files)
        for index in list(self._files):
            if kept <= self._limit_bytes:
                return
            if index != keep and self._files[index].done():
                # A table that is open keeps its rows; only the file goes.
                self._place(index).unlink(missing_ok=True)
                kept -= self._manifest.shards[index].size_bytes
                del self._files[index]

    def _fetch(self, index: int) -> Path:
        for _ in range(RENEWALS):
            shard = self._manifest.shards[index]
            try:
                self._transfer.get(
                    shard.url, self._place(index), sha256=shard.sha256, size_bytes=shard.size_bytes
                )
            except UrlRefused:
                self._manifest = self._renew()
            else:
                return self._place(index)
        raise PassingFault("SHARD_REFUSED", f"The store refused shard {index} with {RENEWALS} fresh URLs.")

    def _place(self, index: int) -> Path:
        return self._folder / f"{index:05d}-{self._manifest.shards[index].sha256[:16]}.parquet"


def _failed(future: Future[Path]) -> bool:
    return future.done() and (future.cancelled() or future.exception() is not None)
