"""Rows by ranges of a Parquet file, and which are read again; the object store is a double."""

import io
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from visiontune_data.shards import PREVIEW_SCHEMA
from visiontune_dataset.adapters.rows import RangeRowReader
from visiontune_dataset.domain.datasets import StoredFile
from visiontune_dataset.ports import SignedUrl, Storage

from tests.support.clocks import MovableClock

ROWS, GROUP_ROWS, THUMBNAIL_BYTES = 50, 5, 1_000
COLUMNS = ["thumbnail", "width_px"]
A_GROUP_BYTES = GROUP_ROWS * (THUMBNAIL_BYTES + 8) + 100


class Store:
    """Answers ranges of one file, and notes them; signs its URL."""

    def __init__(self) -> None:
        rows = [
            {"example": str(n), "thumbnail": bytes([n]) * THUMBNAIL_BYTES, "width_px": n, "height_px": 1}
            for n in range(ROWS)
        ]
        out = io.BytesIO()
        table = pa.Table.from_pylist(rows, PREVIEW_SCHEMA)
        pq.write_table(table, out, row_group_size=GROUP_ROWS, compression="none", use_dictionary=False)
        self.data, self.reads, self.clock = out.getvalue(), 0, MovableClock()
        self.file = StoredFile("projects/p/objects/o", "", len(self.data))

    async def sign(self, names: Sequence[str], ttl: timedelta) -> list[SignedUrl]:
        return [SignedUrl(name, "http://store/o", self.clock.now() + ttl) for name in names]

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.reads += 1
        first, last = request.headers["range"].removeprefix("bytes=").split("-")
        return httpx.Response(206, content=self.data[int(first) : int(last) + 1])

    def reader(self, memory_bytes: int) -> RangeRowReader:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        return RangeRowReader(cast("Storage", self), http, self.clock, memory_bytes)


@pytest.mark.parametrize(
    ("memory_bytes", "read_again"),
    [(0, 10), (A_GROUP_BYTES * 31, 10), (A_GROUP_BYTES * 40, 0), (10**9, 0)],
)
async def test_row_groups_that_are_small_beside_the_memory_are_read_once(
    memory_bytes: int, read_again: int
) -> None:
    store = Store()
    reader = store.reader(memory_bytes)
    wanted = range(3, ROWS, GROUP_ROWS)  # one of each row group
    first = await reader.read(store.file, wanted, COLUMNS)
    assert first == [{"thumbnail": bytes([n]) * THUMBNAIL_BYTES, "width_px": n} for n in wanted]
    assert store.reads == 1 + 10  # the footer, and each row group
    assert await reader.read(store.file, wanted, COLUMNS) == first
    assert store.reads == 11 + read_again
    neighbours = await reader.read(store.file, [n - 1 for n in wanted], COLUMNS)
    assert [row["width_px"] for row in neighbours] == [n - 1 for n in wanted]
    assert store.reads == 11 + 2 * read_again


async def test_what_was_used_least_goes_when_memory_is_full() -> None:
    store = Store()
    reader = store.reader(A_GROUP_BYTES * 33)  # room for 33; the file has ten

    async def reads_of(group: int, columns: list[str]) -> int:
        before = store.reads
        await reader.read(store.file, [group * GROUP_ROWS], columns)
        return store.reads - before

    several: list[list[Any]] = [["thumbnail"], ["thumbnail", "width_px"], ["thumbnail", "height_px"]]
    for columns in several:
        for group in range(10):
            await reads_of(group, columns)
    assert await reads_of(0, several[0]) == 0  # which makes it the one used last
    for group in range(5):
        await reads_of(group, ["thumbnail", "width_px", "height_px"])
    assert await reads_of(0, several[0]) == 0
    assert await reads_of(1, several[0]) == 1
