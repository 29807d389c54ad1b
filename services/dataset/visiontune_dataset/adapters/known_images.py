"""Finds images by digest: among files that were uploaded, and in versions that exist.

Previews say where in a version each is, its shards have it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
from visiontune_data.previews import example_of

from visiontune_dataset.adapters.http_file import HttpFile, client, read_whole
from visiontune_dataset.ports import ReadableShard

Where = tuple[int, int, str, int]  # shard, row, column and place in it


@dataclass(slots=True)
class KnownImages:
    """Implements visiontune_data.foreign.Resolve. Reads nothing before it is first asked."""

    shards: Sequence[ReadableShard]
    uploaded: Mapping[str, str]  # URLs by sha256
    _http: httpx.Client = field(default_factory=client)
    _places: dict[str, Where] | None = None
    _files: dict[int, Any] = field(default_factory=dict)
    _group: tuple[tuple[int, int, str], pa.ChunkedArray] | None = None  # the last that was read

    def __call__(self, sha256: str) -> bytes | None:
        """The image's bytes; None when it is nowhere. Raises http_file.Unreadable."""
        if url := self.uploaded.get(sha256):
            return read_whole(self._http, url)
        if self._places is None:
            self._places = self._find_all()
        if (where := self._places.get(sha256)) is None:
            return None
        shard, row, column, index = where
        file = self._file(shard)
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if row < rows:
                return bytes(self._read(shard, group, column)[row][index]["bytes"].as_py())
            row -= rows
        return None

    def _find_all(self) -> dict[str, Where]:
        places: dict[str, Where] = {}
        for number, shard in enumerate(self.shards):
            file = HttpFile(self._http, shard.preview_url, shard.stored.preview.size_bytes)
            for row, text in enumerate(pq.ParquetFile(file).read(["example"]).column("example")):
                example = example_of(text.as_py())
                for column, images in (("images", example.images), ("negatives", example.negatives or ())):
                    for index, image in enumerate(images):
                        places.setdefault(image.sha256, (number, row, column, index))
        return places

    def _file(self, number: int) -> Any:
        if number not in self._files:
            shard = self.shards[number]
            file = HttpFile(self._http, shard.examples_url, shard.stored.examples.size_bytes)
            self._files[number] = pq.ParquetFile(file)
        return self._files[number]

    def _read(self, shard: int, group: int, column: str) -> pa.ChunkedArray:
        """The images of a row group: records tend to name neighbours one after another."""
        wanted = (shard, group, column)
        if self._group is None or self._group[0] != wanted:
            self._group = (wanted, self._file(shard).read_row_group(group, columns=[column]).column(column))
        return self._group[1]
