"""What a version takes over from another: shards without a change as they are, the others written anew."""

import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from visiontune_data.example import Example, Kind
from visiontune_data.manifest import ExamplesDigest, manifest_sha256
from visiontune_data.previews import example_of
from visiontune_data.shards import Batches, OpenShard, Shard, messages_of, preview_json, text_column
from visiontune_data.splits import SPLIT_NAMES
from visiontune_data.statistics import StatisticsBuilder
from visiontune_data.version import Version


@dataclass(frozen=True, slots=True)
class BaseShard:
    """A shard of the version that is taken over: its facts, and how to open its two files."""

    facts: Shard
    examples: Callable[[], BinaryIO | io.RawIOBase]
    preview: Callable[[], BinaryIO | io.RawIOBase]

    def rows(self) -> Iterator[Example]:
        """Its examples, their images without bytes, in order."""
        for text in pq.ParquetFile(self.preview()).read(["example"]).column("example"):
            yield example_of(text.as_py())


@dataclass(slots=True)
class Gathered:
    """What is known of all examples of the new version, in order."""

    digest: ExamplesDigest = field(default_factory=ExamplesDigest)
    statistics: StatisticsBuilder = field(default_factory=StatisticsBuilder)
    kinds: set[Kind] = field(default_factory=set)
    splits: bytearray = field(default_factory=bytearray)
    splits_of_image: dict[str, tuple[str, set[str]]] = field(default_factory=dict)  # path, splits by sha256

    def add(self, example: Example) -> None:
        """Adds the next example."""
        self.digest.add(example)
        self.statistics.add(example)
        self.kinds.add(example.kind)
        self.splits.append(SPLIT_NAMES.index(example.split))
        for image in example.images:
            self.splits_of_image.setdefault(image.sha256, (image.path, set()))[1].add(example.split)

    def split_counts(self) -> dict[str, int]:
        """Examples in each split that has some."""
        counts = {name: self.splits.count(code) for code, name in enumerate(SPLIT_NAMES)}
        return {name: count for name, count in counts.items() if count}

    def version(self, format_name: str, carrier: "Carrier") -> Version:
        """The version, once its shards are written."""
        counts = self.split_counts()
        return Version(
            digest=self.digest.digest(),
            manifest_sha256=manifest_sha256(format_name, carrier.columns, counts, carrier.shards),
            format=format_name,
            kinds=tuple(sorted(self.kinds)),
            shards=tuple(carrier.shards),
            statistics=self.statistics.build(counts),
            row_splits=bytes(self.splits),
        )


@dataclass(slots=True)
class Carrier:
    """Takes a version over, but for the examples that `changed` has by id (None: they go)."""

    base: Sequence[BaseShard]
    changed: Mapping[str, Example | None]
    scratch: Path
    finished: Callable[[Shard], None]  # hears of each shard that is written anew
    columns: list[str] = field(init=False)  # of all shards
    touched: set[int] = field(default_factory=set)  # shards with a change
    shards: list[Shard] = field(default_factory=list)  # of the new version
    shared: dict[int, int] = field(default_factory=dict)  # index in the new version -> in the base

    def __post_init__(self) -> None:
        self.columns = list(pq.read_schema(self.base[0].examples()).names)

    def rows(self) -> Iterator[tuple[int, int, Example, Example | None]]:
        """Shard, row in it, example and what becomes of it, of all; notes which shards have a change."""
        for number, shard in enumerate(self.base):
            for row, before in enumerate(shard.rows()):
                if before.id in self.changed:
                    self.touched.add(number)
                yield number, row, before, self._after(before)

    def write(self, tell: Callable[[int], None]) -> None:
        """Shares or writes every shard, once `rows` was read; `tell` hears how many are done."""
        for number, shard in enumerate(self.base):
            self._carry(number, shard)
            tell(number + 1)

    def finish(self, shard: Shard) -> None:
        """Notes a shard that was written."""
        self.shards.append(shard)
        self.finished(shard)

    def _after(self, example: Example) -> Example | None:
        return self.changed.get(example.id, example)

    def _carry(self, number: int, shard: BaseShard) -> None:
        """The base's shard as it is, or what is left of it."""
        if number not in self.touched:
            self.shared[len(self.shards)] = number
            self.shards.append(replace(shard.facts, index=len(self.shards)))
            return
        examples, previews = pq.ParquetFile(shard.examples()), pq.ParquetFile(shard.preview())
        made: OpenShard | None = None
        for group in range(examples.num_row_groups):
            rows = previews.read_row_group(group)
            after = [self._after(example_of(text)) for text in rows.column("example").to_pylist()]
            if not any(after):
                continue
            made = made or OpenShard(self.scratch, len(self.shards), examples.schema_arrow)
            made.write(
                _changed(examples.read_row_group(group), rows, after), Counter(e.split for e in after if e)
            )
        if made:
            self.finish(made.finish())


def _changed(examples: pa.Table, previews: pa.Table, after: Sequence[Example | None]) -> Batches:
    """A row group of both files as it will be. Pictures stay as they are."""
    mask = pa.array([each is not None for each in after])
    rows = [each for each in after if each is not None]
    columns = dict(_columns_of(examples.filter(mask)))
    messages = [messages_of(row) for row in rows]
    columns |= {name: made for name in columns if (made := text_column(name, rows, messages)) is not None}
    shown = dict(_columns_of(previews.filter(mask)))
    shown["example"] = pa.array(list(map(preview_json, rows, messages)), pa.string())
    return (
        pa.record_batch([columns[name] for name in examples.schema.names], schema=examples.schema),
        pa.record_batch([shown[name] for name in previews.schema.names], schema=previews.schema),
    )


def _columns_of(table: pa.Table) -> Iterator[tuple[str, pa.Array]]:
    for name in table.schema.names:
        column = table.column(name).combine_chunks()
        yield name, column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
