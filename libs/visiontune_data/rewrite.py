"""Makes a version of another one: shards without a change are shared, the others written anew.

What is new comes behind, in shards of its own. The same checks as an import's decide whether it may be.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow.parquet as pq

from visiontune_data.carrying import BaseShard, Carrier, Gathered
from visiontune_data.decoding import Decoder, Result, Task
from visiontune_data.example import Example, Image
from visiontune_data.ingest import Options, Progress, Stage
from visiontune_data.report import Place, Problem, Report
from visiontune_data.rules import Severity
from visiontune_data.shards import Shard, ShardWriter, Thumbnails
from visiontune_data.spool import Spool
from visiontune_data.version import Version


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
class _Rewriting:
    base: Sequence[BaseShard]
    changes: Changes
    report: Report
    scratch: Path
    options: Options
    stack: ExitStack
    progress: Callable[[Progress], None] = lambda _: None
    finished: Callable[[Shard], None] = lambda _: None
    gathered: Gathered = field(default_factory=Gathered)
    places: dict[str, _Where] = field(default_factory=dict)  # of wanted images, by sha256

    def run(self, format_name: str) -> Rewritten:
        carrier = Carrier(self.base, self.changes.changed, self.scratch, self.finished)
        self._read_base(carrier)
        self._tell(Stage.READING, 10)
        images = self.stack.enter_context(Spool(self.scratch / "images.spool"))
        results = self._decode(images)
        added = [self._with_facts(example, results) for example in self.changes.added]
        for example in added:
            self.gathered.add(example)
        self._check(added)
        if any(s.severity is Severity.ERROR for s in self.report.rules):
            return Rewritten(self.report)
        self._tell(Stage.WRITING, 20)
        carrier.write(lambda done: self._tell(Stage.WRITING, 20 + 79 * done // len(self.base)))
        if added:
            self._append(carrier, added, images, results)
        self.report.example_count = self.gathered.statistics.example_count
        version = self.gathered.version(format_name, carrier)
        return Rewritten(self.report, version, carrier.shared)

    def _read_base(self, carrier: Carrier) -> None:
        """The pass over all examples as they will be; keeps nothing of those that stay but numbers."""
        wanted = {image.sha256 for example in self.changes.added for image in example.images}
        self.report.record_count = len(self.changes.added)
        for number, row, before, after in carrier.rows():
            self.report.record_count += 1
            for index, image in enumerate(before.images):
                if image.sha256 in wanted:
                    self.places.setdefault(image.sha256, _Where(number, row, index))
            if after is not None:
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
                r.phash,
            )
            for r in found
        )
        rules = {problem.rule for result in found for problem in result.problems}
        return replace(example, images=images, problems=tuple(sorted({*example.problems, *rules})))

    def _check(self, added: Sequence[Example]) -> None:
        """What only shows over all examples."""
        gathered, report = self.gathered, self.report
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

    def _append(
        self, carrier: Carrier, added: Sequence[Example], images: Spool, results: Mapping[str, Result]
    ) -> None:
        thumbnails = Thumbnails({r.task.path: r.thumb for r in results.values() if r.thumb})
        self.stack.callback(thumbnails.close)
        writer = self.stack.enter_context(
            ShardWriter(
                self.scratch,
                carrier.columns,
                images,
                thumbnails,
                carrier.finish,
                self.options.shard_bytes,
                first_index=len(carrier.shards),
            )
        )
        for example in added:
            writer.add(example)
        writer.close()

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
