"""Examples of a dataset version read where they lie: by ranges, whole shards are never fetched."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate

import pyarrow as pa
import pyarrow.parquet as pq
from typing_extensions import Buffer
from visiontune_data.seekable import Seekable

from visiontune_worker.claim import Manifest
from visiontune_worker.faults import DataFault, PassingFault
from visiontune_worker.shards import COLUMNS, Example, example_of, texts_of
from visiontune_worker.transfer import Transfer, UrlRefused


class RangedShards:
    """Read access to some examples of a manifest and to its texts; what it gives is what `Shards` gives."""

    def __init__(self, manifest: Manifest, transfer: Transfer) -> None:
        self._manifest = manifest
        self._transfer = transfer
        self._first_row = [0, *accumulate(each.rows for each in manifest.shards)]
        self._file = cache(self._open)
        self._splits = cache(self._read_splits)

    def counts(self, split: str) -> tuple[int, ...]:
        """Examples of a split in each shard."""
        return tuple(each.split_counts.get(split, 0) for each in self._manifest.shards)

    def texts(self, split: str) -> Iterator[str]:
        """All texts of a split in order: captions, and what is said in conversations."""
        for index, count in enumerate(self.counts(split)):
            if count:
                rows = self._read(index, ["messages", "texts"]).to_pylist()
                splits = self._splits(index)
                yield from texts_of(row for row, found in zip(rows, splits, strict=True) if found == split)

    def example(self, split: str, shard: int, nth: int) -> Example:
        """The `nth` example of a split within a shard."""
        places = [place for place, found in enumerate(self._splits(shard)) if found == split]
        return self._at(shard, places[nth])

    def row(self, row: int) -> Example:
        """The example of a row of the version. DataFault when there is none."""
        if row >= self._first_row[-1]:
            raise DataFault(
                "ROW_NOT_THERE", f"There is no row {row:,}: the version has {self._first_row[-1]:,}, from 0."
            )
        shard = bisect_right(self._first_row, row) - 1
        return self._at(shard, row - self._first_row[shard])

    def _at(self, shard: int, place: int) -> Example:
        file = self._file(shard)
        sizes = (file.metadata.row_group(group).num_rows for group in range(file.num_row_groups))
        firsts = list(accumulate(sizes, initial=0))
        group = bisect_right(firsts, place) - 1
        table = file.read_row_group(group, columns=_there(file, COLUMNS))
        name = f"{self._manifest.version}/examples/{self._first_row[shard] + place}"
        return example_of(name, table.slice(place - firsts[group], 1).to_pylist()[0])

    def _read_splits(self, shard: int) -> Sequence[str]:
        found: list[str] = self._read(shard, ["split"]).column("split").to_pylist()
        return found

    def _read(self, shard: int, columns: Sequence[str]) -> pa.Table:
        file = self._file(shard)
        return file.read(columns=_there(file, columns))

    def _open(self, index: int) -> pq.ParquetFile:
        shard = self._manifest.shards[index]
        source = _Remote(self._transfer, shard.url, shard.size_bytes)
        # Neighbouring columns are asked for together.
        return pq.ParquetFile(pa.PythonFile(source, mode="r"), pre_buffer=True)


def _there(file: pq.ParquetFile, columns: Sequence[str]) -> list[str]:
    return [name for name in columns if name in file.schema_arrow.names]


class _Remote(Seekable):
    """A shard behind its signed URL."""

    def __init__(self, transfer: Transfer, url: str, size: int) -> None:
        super().__init__(size)
        self._transfer, self._url = transfer, url

    def readinto(self, buffer: Buffer) -> int:
        """Fills the buffer, or what is left of the file."""
        view = memoryview(buffer).cast("B")
        length = max(0, min(len(view), self._size - self._position))
        if length:
            try:
                view[:length] = self._transfer.get_part(self._url, start=self._position, length=length)
            except UrlRefused as error:
                raise PassingFault("URL_EXPIRED", "The signed URL of a shard no longer works.") from error
            self._position += length
        return length
