"""Makes a version of another one: shards without a change are shared, the others written anew.

What is new comes behind, in shards of its own. The same checks as an import's decide whether it may be.
"""

import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from visiontune_data.decoding import Decoder, Result, Task
from visiontune_data.example import Example, Image, Kind
from visiontune_data.ingest import Options, Progress, Stage, Version
from visiontune_data.manifest import ExamplesDigest, manifest_sha256
from visiontune_data.previews import example_of
from visiontune_data.report import Place, Problem, Report
from visiontune_data.rules import Severity
from visiontune_data.shards import (
    Batches,
    OpenShard,
    Shard,
    ShardWriter,
    Thumbnails,
    messages_of,
    preview_json,
    text_column,
)
from visiontune_data.splits import SPLIT_NAMES
from visiontune_data.spool import Spool
from visiontune_data.statistics import StatisticsBuilder


@dataclass(frozen=True, slots=True)
class BaseShard:
    """A shard of the version that is rewritten: its facts, and how to open its two files."""

    facts: Shard
    examples: Callable[[], BinaryIO | io.RawIOBase]
    preview: Callable[[], BinaryIO | io.RawIOBase]


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be another: examples by id (None: deleted), and new ones with the bytes of their images.

    `uploads` gives the bytes of an image by its sha256, where no example of the version has it.
    """

    changed: Mapping[str, Example | None]
    added: Sequence[Example] = ()
    uploads: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The report, and unless its errors forbid one the version; `shared` are its shards that are the base's.

    `shared` maps a shard's index in the new version to that in the base.
    """

    report: Report
    version: Version | None = None
    shared: Mapping[int, int] = field(default_factory=dict)


def rewrite(
    base: Sequence[BaseShard],
    changes: Changes,
    format_name: str,
    name: str,
    scratch: Path,
    options: Options,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    finished: Callable[[Shard], None] = lambda _: None,
) -> Rewritten:
    """Rewrites; bad data ends up in the report, which is called `name`, never as an exception.

    `scratch` is an empty folder; the new shards are left there, each announced by `finished`. Raises what
    the files raise when they cannot be read.
    """
    with ExitStack() as stack:
        job = _Rewriting(base, changes, Report(name), scratch, options, stack)
        job.progress, job.finished = progress, finished
        return job.run(format_name)


@dataclass(frozen=True, slots=True)
class _Where:
    """The place of an image in the base."""

    shard: int
    row: int
    index: int


@dataclass(slots=True)
class _Gathered:
    """What is known of all examples of the new version, in order."""

    digest: ExamplesDigest = field(default_factory=ExamplesDigest)
    statistics: StatisticsBuilder = field(default_factory=StatisticsBuilder)
    kinds: set[str] = field(default_factory=set)
    splits: bytearray = field(default_factory=bytearray)
    splits_of_image: dict[str, tuple[str, set[str]]] = field(default_factory=dict)  # path, splits by sha256

    def add(self, example: Example) -> None:
        self.digest.add(example)
        self.statistics.add(example)
        self.kinds.add(example.kind)
        self.splits.append(SPLIT_NAMES.index(example.split))
        for image in example.images:
            self.splits_of_image.setdefault(image.sha256, (image.path, set()))[1].add(example.split)

    def split_counts(self) -> dict[str, int]:
        counts = {name: self.splits.count(code) for code, name in enumerate(SPLIT_NAMES)}
        return {name: count for name, count in counts.items() if count}


@dataclass(slots=True)
class _Rewriting:
    base: Sequence[BaseShard]
    changes: Changes
    report: Report
    scratch: Path
    options: Options
    stack: ExitStack
    progress: Callable[[Progress], None] = lambda _: None
    finished: Callable[[Shard], None] = lambda _: None
    gathered: _Gathered = field(default_factory=_Gathered)
    touched: set[int] = field(default_factory=set)  # shards with a change
    places: dict[str, _Where] = field(default_factory=dict)  # of wanted images, by sha256
    shards: list[Shard] = field(default_factory=list)
    shared: dict[int, int] = field(default_factory=dict)

    def run(self, format_name: str) -> Rewritten:
        self._read_base()
        self._tell(Stage.READING, 10)
        images = self.stack.enter_context(Spool(self.scratch / "images.spool"))
        results = self._decode(images)
        added = [self._with_facts(example, results) for example in self.changes.added]
        for example in added:
            self.gathered.add(example)
        self._check(added)
        if any(s.severity is Severity.ERROR for s in self.report.rules):
            return Rewritten(self.report)
        columns = self._columns()
        self._tell(Stage.WRITING, 20)
        for number, shard in enumerate(self.base):
            self._carry(number, shard)
            self._tell(Stage.WRITING, 20 + 79 * (number + 1) // len(self.base))
        if added:
            self._append(added, columns, images, results)
        counts = self.gathered.split_counts()
        self.report.example_count = self.gathered.statistics.example_count
        version = Version(
            digest=self.gathered.digest.digest(),
            manifest_sha256=manifest_sha256(format_name, columns, counts, self.shards),
            format=format_name,
            kinds=tuple(sorted(map(Kind, self.gathered.kinds))),
            shards=tuple(self.shards),
            statistics=self.gathered.statistics.build(counts),
            row_splits=bytes(self.gathered.splits),
        )
        return Rewritten(self.report, version, self.shared)

    def _after(self, example: Example) -> Example | None:
        return self.changes.changed.get(example.id, example)

    def _read_base(self) -> None:
        """The pass over all examples as they will be; keeps nothing of those that stay but numbers."""
        wanted = {image.sha256 for example in self.changes.added for image in example.images}
        for number, shard in enumerate(self.base):
            previews = pq.ParquetFile(shard.preview()).read(["example"]).column("example")
            for row, text in enumerate(previews):
                before = example_of(text.as_py())
                for index, image in enumerate(before.images):
                    if image.sha256 in wanted:
                        self.places.setdefault(image.sha256, _Where(number, row, index))
                if before.id in self.changes.changed:
                    self.touched.add(number)
                if (after := self._after(before)) is not None:
                    self.gathered.add(after)

    def _decode(self, images: Spool) -> dict[str, Result]:
        """The images of what is new, by sha256, decoded as an import does."""
        wanted = {image.sha256: image.path for example in self.changes.added for image in example.images}
        limits = self.options.limits
        decoder = self.stack.enter_context(Decoder(images.path, self.scratch, limits, 0))
        for sha256, path in wanted.items():
            decoder.submit(Task(path, images.append([self._image_bytes(sha256)])))
        results = dict(zip(wanted, decoder.results(), strict=True))
        for result in results.values():
            self.report.extend(result.problems)
        return {sha256: result for sha256, result in results.items() if result.sha256}

    def _image_bytes(self, sha256: str) -> bytes:
        if sha256 not in self.places:
            return self.changes.uploads[sha256]()
        where = self.places[sha256]
        file, row = pq.ParquetFile(self.base[where.shard].examples()), where.row
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if row < rows:
                images = file.read_row_group(group, columns=["images"]).column("images")
                return bytes(images[row][where.index]["bytes"].as_py())
            row -= rows
        raise IndexError(f"shard {where.shard} has no row {where.row}")

    def _with_facts(self, example: Example, results: Mapping[str, Result]) -> Example:
        found = [results[image.sha256] for image in example.images if image.sha256 in results]
        images = tuple(
            Image(
                r.task.path,
                r.sha256,
                r.width_px,
                r.height_px,
                r.format,
                r.task.extent.offset,
                r.task.extent.length,
                r.brightness,
            )
            for r in found
        )
        rules = {problem.rule for result in found for problem in result.problems}
        return replace(example, images=images, problems=tuple(sorted({*example.problems, *rules})))

    def _check(self, added: Sequence[Example]) -> None:
        """What only shows over all examples."""
        gathered, report = self.gathered, self.report
        report.record_count = len(self.changes.changed) + len(self.changes.added)
        if not gathered.statistics.example_count:
            report.add(Problem("zero-examples", Place(), "no example is left"))
        if len(gathered.splits_of_image) > self.options.limits.images:
            most = self.options.limits.images
            found = f"there are {len(gathered.splits_of_image):,} images; at most {most:,} are accepted"
            report.add(Problem("limit-images", Place(), found))
        for example in added:
            if (size := sum(image.length for image in example.images)) > (
                most := self.options.limits.image_bytes_per_example
            ):
                found = f"the images have {size:,} bytes together; at most {most:,} are accepted"
                report.add(Problem("too-many-images", Place(example.id), found))
        for sha256, (path, splits) in gathered.splits_of_image.items():
            if len(splits) > 1:
                names = " and ".join(sorted(splits))
                report.add(Problem("split-leak", Place(path), f"the image is in the splits {names}", sha256))

    def _columns(self) -> list[str]:
        return list(pq.read_schema(self.base[0].examples()).names)

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
            self._finish(made.finish())

    def _append(
        self, added: Sequence[Example], columns: Sequence[str], images: Spool, results: Mapping[str, Result]
    ) -> None:
        thumbnails = Thumbnails({r.task.path: r.thumb for r in results.values() if r.thumb})
        self.stack.callback(thumbnails.close)
        writer = self.stack.enter_context(
            ShardWriter(
                self.scratch,
                columns,
                images,
                thumbnails,
                self._finish,
                self.options.shard_bytes,
                first_index=len(self.shards),
            )
        )
        for example in added:
            writer.add(example)
        writer.close()

    def _finish(self, shard: Shard) -> None:
        self.shards.append(shard)
        self.finished(shard)

    def _tell(self, stage: Stage, percent: int) -> None:
        self.progress(
            Progress(
                stage=stage,
                percent=percent,
                read_bytes=0,
                image_count=0,
                record_count=self.gathered.statistics.example_count,
                error_count=self.report.error_count,
                warning_count=self.report.warning_count,
            )
        )


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
