"""Rows of Parquet files in the bucket: the footer once, then one range read a row group.

The rows of a filter lie anywhere, and those of its next page in much the same groups: small ones are kept.
"""

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
from visiontune_data.limits import KIB
from visiontune_data.seekable import Seekable
from visiontune_kit import errors
from visiontune_kit.clock import Clock

from visiontune_dataset.adapters.http_file import is_part
from visiontune_dataset.domain.datasets import StoredFile
from visiontune_dataset.ports import Storage

_FOOTER_GUESS_BYTES = 64 * KIB
_TRAILER_BYTES = 8  # length of the footer, and the magic
_URL_TTL = timedelta(hours=1)
_URL_RESERVE = timedelta(minutes=5)
_MOST_REMEMBERED = 256
_MOST_AT_ONCE = 16  # row groups that are read, or in memory and not kept
_LARGE_PART = 32  # a row group that takes this part of what may be kept, or more, is not kept


@dataclass(frozen=True, slots=True)
class _Known:
    """What is remembered of a file: it never changes."""

    footer: pq.FileMetaData
    first_rows: tuple[int, ...]  # of each row group, and the number of rows at the end


_Group = tuple[str, int, tuple[str, ...]]  # the file's object, the row group's number, the columns


class RangeRowReader:
    """Implements `ports.RowReader`. Remembers footers and URLs of the files used last.

    Of the row groups used last it keeps as many as fit into `memory_bytes`.
    """

    def __init__(self, storage: Storage, http: httpx.AsyncClient, clock: Clock, memory_bytes: int) -> None:
        self._storage, self._http, self._clock, self._memory_bytes = storage, http, clock, memory_bytes
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._urls: OrderedDict[str, tuple[str, datetime]] = OrderedDict()
        self._kept: OrderedDict[_Group, pa.Table] = OrderedDict()
        self._kept_bytes = 0
        self._slots = asyncio.Semaphore(_MOST_AT_ONCE)

    async def read(
        self, file: StoredFile, rows: Sequence[int], columns: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Returns those rows, which are ascending. Raises Unavailable."""
        known = await self._footer(file)
        groups: dict[int, list[int]] = {}
        for row in rows:
            groups.setdefault(bisect_right(known.first_rows, row) - 1, []).append(row)
        found = await asyncio.gather(
            *(self._read_group(file, known, group, own, columns) for group, own in groups.items())
        )
        return [row for own in found for row in own]

    async def _read_group(
        self, file: StoredFile, known: _Known, group: int, rows: Sequence[int], columns: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Rows of one row group; a page may touch as many groups as it has rows."""
        key = file.object, group, tuple(columns)
        places = [row - known.first_rows[group] for row in rows]
        if key in self._kept:
            self._kept.move_to_end(key)
            return _taken(self._kept[key], places)
        start, end = _extent(known.footer.row_group(group), columns)
        async with self._slots:
            segment = await self._fetch(file, start, end)
            table = await asyncio.to_thread(_parse, file, known, {start: segment}, group, columns)
            self._keep(key, table)
            return _taken(table, places)

    def _keep(self, key: _Group, table: pa.Table) -> None:
        """Keeps it unless it is large, or here already; those used least go."""
        if key in self._kept or table.nbytes * _LARGE_PART >= self._memory_bytes:
            return
        self._kept[key] = table
        self._kept_bytes += table.nbytes
        while self._kept_bytes > self._memory_bytes:
            self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes

    async def _footer(self, file: StoredFile) -> _Known:
        if file.object in self._known:
            self._known.move_to_end(file.object)
            return self._known[file.object]
        start = max(0, file.size_bytes - _FOOTER_GUESS_BYTES)
        tail = await self._fetch(file, start, file.size_bytes)
        length = int.from_bytes(tail[-_TRAILER_BYTES : -_TRAILER_BYTES // 2], "little") + _TRAILER_BYTES
        if length > len(tail):
            start = file.size_bytes - length
            tail = await self._fetch(file, start, file.size_bytes)
        footer = pq.read_metadata(pa.PythonFile(_Segments(file.size_bytes, {start: tail}), mode="r"))
        sizes = (footer.row_group(index).num_rows for index in range(footer.num_row_groups))
        known = _Known(footer, tuple(accumulate(sizes, initial=0)))
        _remember(self._known, file.object, known)
        return known

    async def _fetch(self, file: StoredFile, start: int, end: int) -> bytes:
        """Bytes `start` to `end` (excluded); a refused URL is signed anew once."""
        for fresh in (False, True):
            url = await self._url(file.object, fresh=fresh)
            try:
                answer = await self._http.get(url, headers={"Range": f"bytes={start}-{end - 1}"})
            except httpx.TransportError as error:
                raise errors.Unavailable(
                    f"The object store did not answer: {error or type(error).__name__}.",
                    reason="BytesUnavailable",
                ) from error
            if is_part(answer, start) and len(answer.content) == end - start:
                return answer.content
        raise errors.Unavailable(
            f"The object store answered HTTP {answer.status_code} for a part of a shard.",
            reason="BytesUnavailable",
        )

    async def _url(self, name: str, *, fresh: bool) -> str:
        url, good_until = self._urls.get(name, ("", self._clock.now()))
        if fresh or self._clock.now() >= good_until:
            [signed] = await self._storage.sign([name], _URL_TTL)
            url, good_until = signed.url, signed.expires_at - _URL_RESERVE
        _remember(self._urls, name, (url, good_until))
        return url


def _remember(cache: OrderedDict[str, Any], key: str, value: Any) -> None:
    cache[key] = value
    cache.move_to_end(key)
    while len(cache) > _MOST_REMEMBERED:
        cache.popitem(last=False)


def _extent(group: Any, columns: Sequence[str]) -> tuple[int, int]:
    """First byte of the columns' chunks in a row group, and the byte after their last."""
    chunks = [group.column(index) for index in range(group.num_columns)]
    wanted = [chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns]
    starts = [min(filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset))) for chunk in wanted]
    ends = [start + chunk.total_compressed_size for start, chunk in zip(starts, wanted, strict=True)]
    return min(starts), max(ends)


def _taken(table: pa.Table, places: Sequence[int]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = table.take(pa.array(places, pa.int64())).to_pylist()
    return found


def _parse(
    file: StoredFile,
    known: _Known,
    segments: dict[int, bytes],
    group: int,
    columns: Sequence[str],
) -> pa.Table:
    source = pa.PythonFile(_Segments(file.size_bytes, segments), mode="r")
    # Neither merged reads, which would cross bytes that were not fetched, nor threads, which would share
    # one position.
    return pq.ParquetFile(source, metadata=known.footer, pre_buffer=False).read_row_group(
        group, columns=list(columns), use_threads=False
    )


class _Segments(Seekable):
    """A long file of which only some segments are here; reading outside of them is an error."""

    def __init__(self, size: int, segments: dict[int, bytes]) -> None:
        super().__init__(size)
        self._segments = segments

    def read(self, size: int = -1, /) -> bytes:
        end = self._size if size < 0 else min(self._position + size, self._size)
        for start, segment in self._segments.items():
            if start <= self._position and end <= start + len(segment):
                data = segment[self._position - start : end - start]
                self._position = end
                return data
        raise OSError(f"bytes {self._position} to {end} were not fetched")
