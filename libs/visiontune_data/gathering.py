"""From records to drafts, and from drafts to examples: first without the decoded images, then with them."""

import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from io import BufferedReader
from typing import Any, NamedTuple

from visiontune_data import checks, pairs, records
from visiontune_data.archive.refused import Refused, refuse
from visiontune_data.choosing import Choice, RecordFile
from visiontune_data.decoding import Decoded
from visiontune_data.drafts import Drafts, Paths, Row
from visiontune_data.example import Draft, Example, Image, ImageRef, Kind, VideoRef, content_id, with_frames
from visiontune_data.foreign import ForeignImages
from visiontune_data.formats import Format, Notes
from visiontune_data.joining import Joining
from visiontune_data.limits import Limits
from visiontune_data.matching import ImageIndex
from visiontune_data.report import Place, Problem, Report
from visiontune_data.rules import RULES, Scope, Severity
from visiontune_data.splits import Splitter
from visiontune_data.spool import Extent, Spool
from visiontune_data.statistics import StatisticsBuilder
from visiontune_data.text import shorten
from visiontune_data.twins import Picture, Twins
from visiontune_data.videos import Videos

SAMPLE_RECORDS = 100
_SAMPLE_CHARACTERS = 1_000
_MOST_AHEAD = 32  # records, of at most a MiB each


class RecordFiles:
    """The spooled files of records of one archive."""

    def __init__(self, spool: Spool, extents: Mapping[str, Extent], limits: Limits) -> None:
        self._spool, self._extents, self._limits = spool, extents, limits

    def read(self, file: RecordFile, warn: Callable[[Problem], None]) -> Iterator[records.Record]:
        """The records of one file."""
        if file.pair:
            return pairs.read(file.pair, self._open, self._limits, warn)
        return records.read(self._open(file.path), file.path, self._limits, warn)

    def _open(self, path: str) -> BufferedReader:
        return self._spool.open(self._extents[path])

    def sample(self, path: str) -> list[dict[str, Any]]:
        """The first records that parse."""
        first = itertools.islice(self.read(RecordFile(path, None), lambda _: None), SAMPLE_RECORDS)
        return [_shortened(record.value) for record in first if record.value is not None]


def _shortened(value: Any) -> Any:
    """The value with long texts cut: a hundred records with images in them do not fit into memory."""
    if isinstance(value, dict):
        return {key: _shortened(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_shortened(child) for child in value]
    return value[:_SAMPLE_CHARACTERS] if isinstance(value, str) else value


class _Drafted(NamedTuple):
    """A record, what its format makes of it, and what was found up to it."""

    record: records.Record
    draft: Draft | None
    notes: Notes
    warnings: list[Problem]  # about the file, read before this record

    @property
    def image_paths(self) -> list[str]:
        """As the record writes them; each will be looked for."""
        refs = [*self.draft.images, *(self.draft.negatives or ())] if self.draft else []
        return [ref.path for ref in refs if isinstance(ref, ImageRef)]


def draft_all(
    choice: Choice, files: RecordFiles, index: ImageIndex, videos: Videos, drafts: Drafts, report: Report,
    limits: Limits, progress: Callable[[], None], foreign: ForeignImages,
) -> None:  # fmt: skip
    """Turns every record into a draft; what cannot be one is reported and counted as skipped.

    Records are read a little ahead where their images are to be fetched, so that `foreign` can begin.
    """
    for file in choice.files:
        if file.split:
            drafts.file_splits.append(file.split)
        late: list[Problem] = []
        try:
            for drafted in _ahead(_drafted(choice.format, files, file, late), foreign):
                report.extend(drafted.warnings)
                report.record_count += 1
                if report.record_count > limits.records:
                    raise refuse("limit-records", f"the archive has more than {limits.records:,} records")
                if not _draft_one(drafted, file.path, file.split, index, videos, drafts, report, limits):
                    report.skipped_count += 1
                progress()
        finally:
            report.extend(late)
    drafts.used_images.update(videos.used)


def _drafted(
    format_: Format, files: RecordFiles, file: RecordFile, late: list[Problem]
) -> Iterator[_Drafted]:
    """Every record of a file; `late` is then what was found behind the last."""
    for record in files.read(file, late.append):
        notes = Notes(record.place)
        draft = None if record.value is None else format_.draft(record.value, notes)
        yield _Drafted(record, draft, notes, late.copy())
        late.clear()


def _ahead(all_drafted: Iterator[_Drafted], foreign: ForeignImages) -> Iterator[_Drafted]:
    """The same, in order, read ahead as long as there is too little to fetch."""
    waiting: deque[_Drafted] = deque()
    try:
        for drafted in all_drafted:
            foreign.expect(drafted.image_paths)
            waiting.append(drafted)
            while waiting and not (foreign.wants_more and len(waiting) < _MOST_AHEAD):
                yield waiting.popleft()
    except Refused:  # the file cannot be read on
        yield from waiting
        raise
    yield from waiting


def _draft_one(
    drafted: _Drafted, file: str, file_split: str | None, index: ImageIndex, videos: Videos, drafts: Drafts,
    report: Report, limits: Limits,
) -> bool:  # fmt: skip
    record, draft, notes, _ = drafted
    if record.value is None:
        if record.problem and RULES[record.problem.rule].scope is Scope.ARCHIVE:
            raise Refused(record.problem)
        report.extend(filter(None, [record.problem]))
        return False
    found = Paths([], None)
    if draft is not None:
        checks.check(draft, limits, notes)
        draft, found = _find_images(draft, file, index, videos, limits, notes)
        drafts.used_images.update(found.all)
    report.extend(notes.problems)
    if draft is None or any(problem.severity is Severity.ERROR for problem in notes.problems):
        return False
    split = checks.SPLITS[draft.split] if draft.split else file_split
    rules = sorted({problem.rule for problem in notes.problems})
    drafts.add(draft, found, split, record.place, rules)
    return True


def _find_images(
    draft: Draft, file: str, index: ImageIndex, videos: Videos, limits: Limits, notes: Notes
) -> tuple[Draft, Paths]:
    """The draft with its videos' frames counted, and the paths of the images that are there.

    Notes each that is not.
    """
    images: list[str] = []
    counts: list[int] = []
    for ref in draft.images:
        if isinstance(ref, VideoRef):
            frames = videos.find(ref, file, notes)
            images += frames
            counts.append(len(frames))
        elif path := index.find(ref, file, notes):
            images.append(path)
    if counts:
        draft = replace(draft, messages=with_frames(draft.messages, counts))
        checks.check_count(len(images), draft.images[0].json_path, limits, notes)
    if draft.negatives is None:
        return draft, Paths(images, None)
    return draft, Paths(images, [path for ref in draft.negatives if (path := index.find(ref, file, notes))])


@dataclass(slots=True)
class Assembly:
    """The drafts whose images decoded, as examples; ids, splits and statistics are decided over all.

    `gather`, then `settle`, then what was decided can be asked for.
    """

    drafts: Drafts
    images: Decoded
    limits: Limits
    joining: Joining = field(default_factory=Joining)
    twins: Twins = field(default_factory=Twins.none)
    statistics: StatisticsBuilder = field(default_factory=StatisticsBuilder)
    splitter: Splitter = field(default_factory=Splitter)
    ids: dict[str, int] = field(default_factory=dict)  # id -> line, in the order of the examples
    kinds: set[Kind] = field(default_factory=set)
    _accepted: bytearray = field(default_factory=bytearray)
    _copies: Counter[str] = field(default_factory=Counter)  # of records without an id
    _named: list[str] = field(default_factory=list)  # splits as the data names them, "" where it does not
    _digests: list[tuple[str, ...]] = field(default_factory=list)
    _facts: dict[str, Image] = field(default_factory=dict)  # of images that examples have, by path

    def gather(self, report: Report) -> None:
        """The pass over all drafts, each as soon as its images are decoded."""
        for row in self.drafts:
            example = self._complete(row, report)
            self._accepted.append(example is not None)
            if example is None:
                report.skipped_count += 1
                continue
            self.ids[example.id] = row.line
            self._named.append(example.split)
            self._digests.append(tuple(image.sha256 for image in example.images))
            self.statistics.add(example)
            self.kinds.add(example.kind)

    def settle(self, report: Report) -> None:
        """Decides what takes all images; reports what only shows over all examples."""
        pictures = (Picture(path, each.sha256, each.phash) for path, each in self.images.items())
        self.twins = Twins.among(pictures, self.joining.pictures.values())
        eldest = self.twins.eldest
        splits = {eldest(sha): split for sha, split in self.joining.split_of_image.items()}
        for id_, named, digests in zip(self.ids, self._named, self._digests, strict=True):
            alike = list(map(eldest, digests))
            settled = self.joining.split_of(id_) or next(filter(None, map(splits.get, alike)), None)
            self.splitter.add(id_, alike, named or None, settled)
        self._check_splits(report)
        report.example_count = len(self.ids)

    def examples(self, splits: list[str]) -> Iterator[Example]:
        """The examples with their splits, in order."""
        numbered = zip(self.ids, splits, strict=True)
        for accepted, row in zip(self._accepted, self.drafts, strict=True):
            if accepted:
                id_, split = next(numbered)
                yield self._example(row, id_, split, self._rules(row))

    def _example(self, row: Row, id_: str, split: str, problems: tuple[str, ...]) -> Example:
        images, negatives = row.paths
        return row.example(
            id_,
            list(map(self._image, images)),
            None if negatives is None else list(map(self._image, negatives)),
            split,
            problems,
        )

    def _image(self, path: str) -> Image:
        if path not in self._facts:
            found = self.images[path]
            self._facts[path] = Image(
                path, found.sha256, found.width_px, found.height_px, found.format,
                found.task.extent.offset, found.task.extent.length, found.brightness, found.phash,
            )  # fmt: skip
        return self._facts[path]

    def _rules(self, row: Row) -> tuple[str, ...]:
        """The rules that a record and its images break."""
        of_images = {problem.rule for path in row.paths.all for problem in self.images[path].problems}
        return tuple(sorted(of_images.union(row.problems)))

    def _complete(self, row: Row, report: Report) -> Example | None:
        """The draft with its images and id; None when an image is broken (as reported) or the id taken."""
        if any(path not in self.images for path in row.paths.all):
            return None
        place, example = row.place, self._example(row, row.id or "", row.split, row.problems)
        if (size := sum(image.length for image in example.all_images)) > self.limits.image_bytes_per_example:
            most = self.limits.image_bytes_per_example
            found = f"the images have {size:,} bytes together; at most {most:,} are accepted"
            report.add(Problem("too-many-images", place, found))
            return None
        if not example.id:
            self.joining.replace(example)
            return replace(example, id=self._free_id(content_id(example)))
        if example.id in self.ids:
            message = f'the id "{shorten(example.id)}" is that of line {self.ids[example.id]} already'
            report.add(Problem("id-duplicate", place.at("$.id"), message, shorten(example.id)))
            return None
        if taken_by := self.joining.taken_by(example.id):
            message = f'the id "{shorten(example.id)}" is that of {taken_by}'
            report.add(Problem("id-in-base", place.at("$.id"), message, shorten(example.id)))
            return None
        self.joining.replace(example)
        return example

    def _free_id(self, wanted: str) -> str:
        """`wanted`, or for the copies of a record `wanted-2`, `wanted-3` and so on."""
        id_ = wanted
        while id_ in self.ids or self.joining.is_taken(id_):
            self._copies[wanted] += 1
            id_ = f"{wanted}-{self._copies[wanted] + 1}"
        return id_

    def _check_splits(self, report: Report) -> None:
        sizes = Counter(self._named)
        for split in dict.fromkeys(self.drafts.file_splits) if self.ids else ():
            if not sizes[split]:
                report.add(Problem("split-empty", Place(), f'the split "{split}" has no examples', split))
        if self.joining.base is None:
            splits_of_image: dict[str, set[str]] = defaultdict(set)
            for split, digests in zip(self._named, self._digests, strict=True):
                for digest in digests if split else ():
                    splits_of_image[digest].add(split)
            self.check_leaks(splits_of_image, report)

    def check_leaks(self, splits_of_image: Mapping[str, set[str]], report: Report) -> None:
        """Reports images that are in several splits, and near ones; the splits are by sha256."""
        for path, result in self.images.items():
            if len(splits := splits_of_image.get(result.sha256, set())) > 1:
                message = f"the image is in the splits {' and '.join(sorted(splits))}"
                report.add(Problem("split-leak", Place(path), message, result.sha256))
        report.extend(self.twins.near_leaks(splits_of_image))
