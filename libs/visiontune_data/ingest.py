"""An import, from an archive's bytes to shards in scratch: what a service runs, and a CLI can offline."""

import gc
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from visiontune_data import choosing, habits, reading
from visiontune_data.ahead import FetchAhead
from visiontune_data.archive import Refused, Source
from visiontune_data.columns import columns_for
from visiontune_data.decoding import Decoded, Decoder, Result
from visiontune_data.drafts import Drafts
from visiontune_data.example import Example
from visiontune_data.foreign import ARCHIVE_ALONE, ForeignImages, Sources, fetch_nothing
from visiontune_data.formats import AUTO
from visiontune_data.gathering import Assembly, RecordFiles, draft_all
from visiontune_data.inputs import CountedSource, Input, title
from visiontune_data.joining import Base, Joining
from visiontune_data.joint import Joint, join
from visiontune_data.limits import Limits
from visiontune_data.manifest import ExamplesDigest, manifest_sha256
from visiontune_data.matching import ImageIndex
from visiontune_data.problem_log import LoggedReport, ProblemLog, together
from visiontune_data.report import Place, Problem, Report
from visiontune_data.rules import RULES, Scope, Severity
from visiontune_data.shards import SHARD_BYTES, Shard, ShardWriter, Thumbnails
from visiontune_data.splits import SPLIT_NAMES
from visiontune_data.spool import Spool
from visiontune_data.text import shorten
from visiontune_data.treatment import AS_THEY_ARE, Treatment
from visiontune_data.version import Version
from visiontune_data.videos import Videos

_PROGRESS_EVERY_S = 0.25
# About what reading and decoding are of the work (a guess, for a bar); the rest is writing.
_READING_PERCENT = 80
_NEW_BETWEEN_COLLECTIONS = 50_000  # objects
_SWITCH_INTERVAL_S = 0.0002


@dataclass(frozen=True, slots=True)
class Options:
    """How to import. `format` is a name of FORMATS or `auto`; `start_method` is that of Decoder."""

    format: str = AUTO
    skip_errors: bool = False
    validation_fraction: float = 0.1
    processes: int = 2
    start_method: str = "spawn"
    shard_bytes: int = SHARD_BYTES
    frames_per_video: int = 8
    limits: Limits = field(default_factory=Limits)
    treatment: Treatment = AS_THEY_ARE


class Stage(StrEnum):
    """What an import is doing."""

    READING = "reading"
    WRITING = "writing"


@dataclass(frozen=True, slots=True)
class Progress:
    """Figures of an import that runs."""

    stage: Stage
    percent: int  # of the whole work, 0 to 99
    read_bytes: int
    image_count: int
    record_count: int
    error_count: int
    warning_count: int
    report: Report | None = None  # what was found so far; None when that was told before


@dataclass(frozen=True, slots=True)
class Outcome:
    """The report, pages of all problems, and the version unless the report's errors forbid one.

    `shared` maps indices of shards to those of the base's that they are.
    """

    report: Report
    version: Version | None
    problems: tuple[bytes, ...] = ()
    shared: Mapping[int, int] = field(default_factory=dict)


def ingest(
    source: Source,
    archive_name: str,
    scratch: Path,
    options: Options,
    *,
    more: Sequence[Input] = (),
    images: Sources = ARCHIVE_ALONE,
    base: Base | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    finished: Callable[[Shard], None] = lambda _: None,
) -> Outcome:
    """Imports an archive, or a file of records; bad data ends up in the report, never as an exception.

    `more` are further files of the same data: their paths and those of the first are in one space.
    `scratch` is an empty folder; the shards are left there, each announced by `finished` once it is
    whole, and everything else is removed. `images` are for records that name images which the archive lacks.
    With a base the version has its examples, too, but for those that are replaced; they come first.
    Raises DecoderDied when a child process was killed, and
    what `source` raises when it cannot be read.
    """
    given = [Input(source, archive_name), *more]
    log = ProblemLog()
    report = LoggedReport(title(given), log)
    with _undisturbed(), ExitStack() as stack:
        job = _Job(given, report, log, scratch, options, images, base, progress, finished, stack)
        try:
            version = job.run()
        except Refused as refused:
            report.add(refused.problem)
            version = None
    if version is None:
        report.example_count = 0
    return Outcome(together([report]), version, log.pages(), job.shared)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Has Python look for cycles seldom, and its threads wait less for one another.

    An import makes much that stays, which would be walked each time; and the thread that writes shards would
    wait twice a row group for as long as it writes.
    """
    threshold, interval_s = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(_NEW_BETWEEN_COLLECTIONS, *threshold[1:])
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        sys.setswitchinterval(interval_s)


class _Job:
    """One import under way."""

    def __init__(
        self, given: Sequence[Input], report: Report, log: ProblemLog, scratch: Path, options: Options,
        images: Sources, base: Base | None, progress: Callable[[Progress], None],
        finished: Callable[[Shard], None], stack: ExitStack,
    ) -> None:  # fmt: skip
        self._sources = [CountedSource(each.source) for each in given]
        self._given = [Input(s, each.name) for s, each in zip(self._sources, given, strict=True)]
        self._report, self._options, self._scratch, self._images = report, options, scratch, images
        self._base, self._progress, self._finished, self._stack = base, progress, finished, stack
        self.shared: Mapping[int, int] = {}
        names = ("images", "records", "drafts")
        self._spools = reading.Spools(
            *(stack.enter_context(Spool(scratch / f"{name}.spool")) for name in names)
        )
        self._decoder = stack.enter_context(
            Decoder(
                self._spools.images.path,
                scratch,
                options.limits,
                options.processes,
                options.start_method,
                options.treatment,
            )
        )
        # Reported after those of the images, whichever is ready first.
        self._log, self._record_problems = log, LoggedReport(report.archive, log)
        self._stage, self._told_at, self._told_count = Stage.READING, 0.0, 0
        self._written_count = self._to_write_count = self._percent = 0

    def run(self) -> Version | None:
        """Reads, gathers, and writes if nothing forbids it."""
        limits, report = self._options.limits, self._report
        content = reading.read(self._given, report, limits, self._spools, self._decoder, self._tell)
        drafts = Drafts(self._spools.examples)
        foreign = ForeignImages(
            self._images, self._spools.images, self._decoder, content, limits, self._fetch_ahead()
        )
        others = [*content.other_paths, *content.record_files]
        # A file of records that came alone does not know in which folder an archive has its images.
        roots = {path.partition("/")[0] for path in content.image_paths} if len(self._given) > 1 else ()
        index = ImageIndex(content.image_paths, others, foreign.find, roots)
        videos = Videos(
            content, index, self._spools.images, self._decoder, limits,
            self._options.frames_per_video, self._options.processes,
        )  # fmt: skip
        self._stack.callback(videos.close)
        files = RecordFiles(self._spools.records, content.record_files, limits)
        record_problems = self._record_problems
        images = Decoded(self._results())
        refused: Refused | None = None
        try:
            choice = choosing.choose(
                self._options.format,
                [*content.record_files],
                content.image_paths,
                files.sample,
            )
            report.format_reason = choice.reason
            draft_all(choice, files, index, videos, drafts, record_problems, limits, self._tell, foreign)
            assembly = Assembly(drafts, images, limits, Joining.of(self._base))
            assembly.gather(record_problems)
        except Refused as error:
            refused = error
        self._report_images(content, images)
        report.merge(record_problems)
        self._record_problems = LoggedReport(report.archive, self._log)
        if refused:
            raise refused
        assembly.settle(report)
        joint = None
        if self._base and assembly.ids:
            joint = join(
                assembly, self._base, self._scratch, self._finished, report,
                self._options.validation_fraction, limits.images,
            )  # fmt: skip
        self._check_version(assembly, joint, content)
        self._tell(always=True)
        if self._is_forbidden():
            return None
        return self._write_joint(assembly, joint) if joint else self._write(assembly, choice.format.name)

    def _fetch_ahead(self) -> FetchAhead | None:
        """None where nothing is fetched."""
        if self._images.fetch is fetch_nothing:
            return None
        return self._stack.enter_context(FetchAhead(self._images.fetch))

    def _results(self) -> Iterator[Result]:
        for result in self._decoder.results():
            self._report.saved_bytes += result.saved_bytes
            self._tell()
            yield result

    def _report_images(self, content: reading.Content, images: Decoded) -> None:
        """Reports the problems of all images in the archive's order."""
        for path in content.image_paths:
            result = images.find(path)
            problems = result.problems if result else [content.refused[path]]
            if place := content.places.get(path):
                problems = [replace(problem, place=place) for problem in problems]
            self._report.extend(problems)

    def _check_version(self, assembly: Assembly, joint: Joint | None, content: reading.Content) -> None:
        report, used = self._report, assembly.drafts.used_images
        if not assembly.ids:
            counts = ", ".join(f"{s.rule}: {s.count}" for s in report.rules if s.severity is Severity.ERROR)
            report.add(Problem("zero-examples", Place(), f"no example is left ({counts or 'no records'})"))
            return
        for path in content.image_paths:
            if path not in used:
                report.add(Problem("image-unused", Place(path), "no record names this image", shorten(path)))
        report.extend(assembly.twins.problems())
        of_all = joint.gathered if joint else assembly
        report.extend(habits.problems(of_all.statistics, of_all.kinds))

    def _is_forbidden(self) -> bool:
        errors = [RULES[s.rule] for s in self._report.rules if s.severity is Severity.ERROR]
        if not self._options.skip_errors:
            return bool(errors)
        return any(rule.scope in {Scope.ARCHIVE, Scope.VERSION} for rule in errors)

    def _write(self, assembly: Assembly, format_name: str) -> Version:
        self._stage, self._to_write_count = Stage.WRITING, len(assembly.ids)
        statistics = assembly.statistics
        columns = columns_for(assembly.kinds)
        splits = assembly.splitter.decide(self._options.validation_fraction)
        shards: list[Shard] = []

        def finish(shard: Shard) -> None:
            shards.append(shard)
            self._finished(shard)

        digest = ExamplesDigest()

        def digested() -> Iterator[Example]:
            for example in assembly.examples(splits):
                digest.add(example)
                yield example

        self._write_shards(digested(), assembly, columns, finish, 0)
        counts = {name: splits.count(name) for name in SPLIT_NAMES if name in splits}
        return Version(
            digest=digest.digest(),
            manifest_sha256=manifest_sha256(format_name, columns, counts, shards),
            format=format_name,
            kinds=tuple(sorted(assembly.kinds)),
            shards=tuple(shards),
            statistics=statistics.build(counts),
            row_splits=bytes(map(SPLIT_NAMES.index, splits)),
        )

    def _write_joint(self, assembly: Assembly, joint: Joint) -> Version:
        """The base's shards, then those of what is new."""
        self._stage, self._to_write_count = Stage.WRITING, len(assembly.ids)
        carrier, gathered = joint.carrier, joint.gathered
        carrier.write(lambda _: self._tell())
        new = (each for each in assembly.examples(joint.splits) if each.id not in joint.kept)
        self._write_shards(new, assembly, carrier.columns, carrier.finish, len(carrier.shards))
        self.shared = carrier.shared
        return gathered.version(joint.base.format, carrier)

    def _write_shards(
        self, examples: Iterable[Example], assembly: Assembly, columns: Sequence[str],
        finish: Callable[[Shard], None], first_index: int,
    ) -> None:  # fmt: skip
        # They share their memory with this process, which would copy each page that it writes to.
        self._decoder.end()
        thumbs = {path: result.thumb for path, result in assembly.images.items() if result.thumb}
        thumbnails = Thumbnails(thumbs)
        self._stack.callback(thumbnails.close)
        writer = self._stack.enter_context(
            ShardWriter(
                self._scratch, columns, self._spools.images, thumbnails, finish, self._options.shard_bytes,
                first_index,
            )
        )  # fmt: skip
        for example in examples:
            writer.add(example)
            self._written_count += 1
            self._tell()
        writer.close()

    def _percent_now(self) -> int:
        """Reading counts as far as what was read is decoded too; it may fall while images come."""
        read = self._read_bytes / max(sum(source.size for source in self._sources), 1)
        decoded = self._decoder.done_count / max(self._decoder.submitted_count, 1)
        written = self._written_count / max(self._to_write_count, 1)
        return min(int(_READING_PERCENT * read * decoded + (100 - _READING_PERCENT) * written), 99)

    @property
    def _read_bytes(self) -> int:
        return sum(source.read_bytes for source in self._sources)

    def _tell(self, *, always: bool = False) -> None:
        now = time.monotonic()
        if now - self._told_at < _PROGRESS_EVERY_S and not always:
            return
        self._told_at = now
        self._percent = max(self._percent, self._percent_now())
        report = together((self._report, self._record_problems))
        found = report.error_count + report.warning_count
        is_new, self._told_count = found != self._told_count, found
        self._progress(
            Progress(
                stage=self._stage,
                percent=self._percent,
                read_bytes=self._read_bytes,
                image_count=self._decoder.done_count,
                record_count=report.record_count,
                error_count=report.error_count,
                warning_count=report.warning_count,
                report=report if is_new else None,
            )
        )
