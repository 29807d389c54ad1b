"""Indexes of versions, made of the previews when first asked for, the parts used last kept in memory."""

import asyncio
from collections import OrderedDict

from visiontune_data.index import ShardIndex, VersionIndex, shard_index

from visiontune_dataset.domain.datasets import StoredShard, Version
from visiontune_dataset.ports import RowReader


class PreviewIndexes:
    """Implements `ports.Indexes`.

    A part is a shard's, so versions that share it share its part. A version of which more is asked than
    `memory_bytes` still works: its parts are made anew each time.
    """

    def __init__(self, rows: RowReader, memory_bytes: int) -> None:
        self._rows, self._memory_bytes = rows, memory_bytes
        self._parts: OrderedDict[str, ShardIndex] = OrderedDict()
        self._size_bytes = 0
        self._making: dict[str, asyncio.Task[ShardIndex]] = {}

    async def of(self, version: Version) -> VersionIndex:
        """Reads what is not here yet, shard by shard."""
        return VersionIndex(tuple([await self._part(shard) for shard in version.shards]))

    async def _part(self, shard: StoredShard) -> ShardIndex:
        name = shard.preview.object
        if name in self._parts:
            self._parts.move_to_end(name)
            return self._parts[name]
        if name not in self._making:
            # A task of its own: whoever asks next waits for it too, also when the first has given up.
            task = self._making[name] = asyncio.create_task(self._make(shard))
            task.add_done_callback(lambda _: self._making.pop(name))
        return await asyncio.shield(self._making[name])

    async def _make(self, shard: StoredShard) -> ShardIndex:
        found = await self._rows.read(shard.preview, range(shard.row_count), ["example"])
        part = await asyncio.to_thread(shard_index, [row["example"] for row in found])
        self._parts[shard.preview.object] = part
        self._size_bytes += part.size_bytes
        while self._size_bytes > self._memory_bytes:
            _, oldest = self._parts.popitem(last=False)
            self._size_bytes -= oldest.size_bytes
        return part
