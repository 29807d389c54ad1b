"""What the use cases need from the world; `adapters` has it."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession
from visiontune_data.edits import Edit
from visiontune_data.example import Example
from visiontune_data.export import ExportSummary
from visiontune_data.index import VersionIndex
from visiontune_data.ingest import Options, Outcome, Progress
from visiontune_data.joining import Mode
from visiontune_data.report import Problem, Report
from visiontune_data.rewrite import Rewritten
from visiontune_data.shards import Shard, ShardFile
from visiontune_data.statistics import Statistics
from visiontune_kit.clock import Clock
from visiontune_recipes.augmentation import Augmentation

from visiontune_dataset.domain.datasets import Dataset, StoredFile, StoredShard, Version
from visiontune_dataset.domain.drafts import Draft
from visiontune_dataset.domain.exports import Export, ExportJob, ExportState
from visiontune_dataset.domain.imports import ImportJob, ImportState
from visiontune_dataset.domain.work import MakesVersion, Work

PARQUET = "application/vnd.apache.parquet"


@dataclass(frozen=True, slots=True)
class Archive:
    """A complete upload."""

    object: str
    filename: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """A URL that reads one object, and when it stops working."""

    object: str
    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ProjectLimits:
    """What an operator has set for one project; None leaves it to this program's settings."""

    datasets: int | None
    images: int | None  # of one version


class Storage(Protocol):
    """The storage service. Each method raises what the service answers."""

    async def limits(self, project: str) -> ProjectLimits:
        """Returns the part of the project's quota that is about datasets."""

    async def get_archive(self, upload: str) -> Archive:
        """Returns a complete upload. Raises UploadNotComplete."""

    async def sign(self, objects: Sequence[str], ttl: timedelta) -> list[SignedUrl]:
        """Returns a URL for GET of each; all of one project."""

    async def put(
        self, file: ShardFile, filename: str, owner: str, content_type: str = PARQUET
    ) -> StoredFile:
        """Uploads a file on behalf of `owner`."""

    async def delete(self, project: str, objects: Sequence[str]) -> None:
        """Deletes objects; those already gone are fine."""

    async def delete_owned(self, owner: str) -> None:
        """Deletes what `owner`, or anything below it, has."""


class Jobs(Protocol):
    """Training jobs, as far as data matters to them."""

    async def using(self, name: str) -> list[str]:
        """Returns jobs that have not ended and train on that version, or any of that dataset's.

        Raises TrainerUnavailable.
        """


@dataclass(frozen=True, slots=True)
class ImportFile:
    """A file to import: where its bytes are, how many, and what it is called."""

    url: str
    size_bytes: int
    name: str


class Importer(Protocol):
    """Runs an import in processes of its own, so that calls stay answered."""

    async def run(
        self,
        files: Sequence[ImportFile],
        scratch: Path,
        options: Options,
        *,
        earlier: "Sequence[ReadableShard]" = (),
        base: "ReadableBase | None" = None,
        progress: Callable[[Progress], Awaitable[None]],
        finished: Callable[[Shard], Awaitable[None]],
    ) -> Outcome:
        """Returns what visiontune_data.ingest returns. Raises ChildDied, SourceUnavailable.

        `earlier` are the shards whose images records may name by digest, `base` is the version to go on from.
        """


@dataclass(frozen=True, slots=True)
class ReadableShard:
    """A shard of a version with signed URLs of its two files."""

    stored: StoredShard
    examples_url: str
    preview_url: str


@dataclass(frozen=True, slots=True)
class ReadableBase:
    """The version that an import goes on from; its name is for people."""

    name: str
    format: str
    mode: Mode
    shards: tuple[ReadableShard, ...]


class Rewriter(Protocol):
    """Makes versions of versions in processes of its own."""

    async def run(
        self,
        base: Sequence[ReadableShard],
        changed: Mapping[str, Example | None],
        added: Sequence[Example],
        uploads: Mapping[str, str],
        format_name: str,
        name: str,
        scratch: Path,
        options: Options,
        *,
        progress: Callable[[Progress], Awaitable[None]],
        finished: Callable[[Shard], Awaitable[None]],
    ) -> Rewritten:
        """Returns what visiontune_data.rewrite returns; `uploads` are URLs of images by sha256.

        Raises ChildDied, SourceUnavailable.
        """


class Exporter(Protocol):
    """Writes archives in processes of its own."""

    async def run(
        self,
        shards: Sequence[ReadableShard],
        job: ExportJob,
        file: Path,
        *,
        progress: Callable[[int], Awaitable[None]],
    ) -> ExportSummary:
        """Writes the archive to `file`; `progress` hears how many examples are in it.

        Raises ChildDied, SourceUnavailable, ExportUnfit.
        """


class RowReader(Protocol):
    """Reads rows of Parquet files in the bucket by byte ranges."""

    async def read(
        self, file: StoredFile, rows: Sequence[int], columns: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Returns those rows, in that order, which is ascending."""


class Indexes(Protocol):
    """What filters and searches look at, of each version."""

    async def of(self, version: Version) -> VersionIndex:
        """Returns the version's index, which may have to be made first."""


@dataclass(frozen=True, slots=True)
class View:
    """What to show of a picture."""

    augmentation: Augmentation  # resolved
    seed: int
    row: int
    epochs: Sequence[int]
    model_preset: str  # empty: before any processor
    side_px: int  # of the longest side, at most; without a preset


@dataclass(frozen=True, slots=True)
class ShownPicture:
    """A picture and what training sees of it in each epoch, as JPEGs of one size."""

    original: bytes
    augmented: Sequence[bytes]
    width_px: int
    height_px: int


class Previewer(Protocol):
    """The program that augments pictures, which this one cannot."""

    async def show(self, picture: bytes, view: View) -> ShownPicture:
        """Augments one picture. Raises PreviewNotInstalled, PreviewFailed."""


class Datasets(Protocol):
    """The datasets of every project."""

    async def add(self, dataset: Dataset) -> None:
        """Writes a new row. Raises DatasetExists."""

    async def find(self, project: str, dataset_id: str, *, lock: bool = False) -> Dataset | None:
        """Returns it, also when it is deleted; None when there is none."""

    async def get(self, project: str, dataset_id: str, *, lock: bool = False) -> Dataset:
        """Returns it, locked until the transaction ends if asked.

        Raises DatasetNotFound, also while it is being deleted.
        """

    async def save(self, dataset: Dataset) -> None:
        """Writes a change of the revision before. Raises StaleEtag when somebody else was first."""

    async def count_and_lock(self, project: str) -> int:
        """Returns how many a project has; until the transaction ends, nobody else counts them."""

    async def page(
        self,
        project: str,
        after: tuple[datetime, str] | None,
        limit: int,
        *,
        deleted_at: datetime | None = None,
    ) -> list[Dataset]:
        """Returns those behind that (time, id), newest first; or those that can be brought back then."""

    async def past_undo(self, now: datetime) -> list[Dataset]:
        """Returns deleted ones that cannot be brought back any more."""

    async def remove(self, dataset: Dataset) -> None:
        """Deletes it with all that belongs to it."""


class Versions(Protocol):
    """The versions of every dataset."""

    async def add(self, version: Version, statistics: Statistics) -> None:
        """Writes a new row and its shards."""

    async def get(self, project: str, dataset_id: str, number: int, *, deleted: bool = False) -> Version:
        """Returns it, if asked also when it is deleted. Raises VersionNotFound."""

    async def page(
        self,
        project: str,
        dataset_id: str,
        below: int | None,
        limit: int,
        *,
        deleted_at: datetime | None = None,
    ) -> list[Version]:
        """Returns those with numbers below that, newest first; or those that can be brought back then."""

    async def statistics(self, version: Version) -> Statistics:
        """Returns what was written with it."""

    async def note_reading(self, version: Version, until: datetime) -> None:
        """Writes that somebody has URLs of it that work until then."""

    async def set_purge_at(self, version: Version, purge_at: datetime | None) -> None:
        """Hides it until then; None brings it back."""

    async def past_undo(self, now: datetime) -> list[tuple[str, str, int]]:
        """Returns project, dataset and number of deleted ones that cannot be brought back any more."""

    async def remove(self, version: Version) -> None:
        """Deletes it, and notes as leftovers the objects that no other version has."""

    async def leftovers(self) -> list[tuple[str, str]]:
        """Returns project and name of the objects of deleted versions that are still to go."""

    async def forget_leftovers(self, objects: Collection[str]) -> None:
        """Forgets those that are gone."""

    async def has_owner(self, project: str, dataset_id: str, owner: str) -> bool:
        """Whether a version's shards belong to this import."""


@dataclass(frozen=True, slots=True)
class StoredReport:
    """A report, and what became of the import."""

    project: str
    dataset: str
    id: str
    report: Report
    version: str
    created_at: datetime
    in_progress: bool = False
    pages: tuple[bytes, ...] = ()  # of all problems, as visiontune_data.problem_log has them; to be saved


class Reports(Protocol):
    """The validation reports of every dataset."""

    async def save(self, stored: StoredReport) -> None:
        """Writes it, over an older one of the same id; one in progress not over one that is finished."""

    async def get(self, project: str, dataset_id: str, report_id: str) -> StoredReport:
        """Returns it. Raises ReportNotFound."""

    async def problems(self, stored: StoredReport, page: int) -> list[Problem]:
        """Returns a page of all its problems; none behind the last, or where only the report was kept."""

    async def drop_unfinished(self, project: str, dataset_id: str, report_id: str) -> None:
        """Deletes it if its import ended before it was finished."""


class Drafts(Protocol):
    """The drafts of every dataset, with their edits."""

    async def add(self, draft: Draft) -> None:
        """Writes a new row."""

    async def get(self, project: str, dataset_id: str, draft_id: str, *, lock: bool = False) -> Draft:
        """Returns it, locked until the transaction ends if asked. Raises DraftNotFound."""

    async def save(self, draft: Draft) -> None:
        """Writes a change of the revision before. Raises StaleEtag when somebody else was first."""

    async def page(
        self, project: str, dataset_id: str, after: tuple[datetime, str] | None, limit: int
    ) -> list[Draft]:
        """Returns those behind that (time, id), newest first."""

    async def count(self, project: str, dataset_id: str) -> int:
        """Returns how many a dataset has."""

    async def on(self, version: Version) -> list[Draft]:
        """Returns those that edit that version."""

    async def expired(self, now: datetime) -> list[Draft]:
        """Returns those whose time is over and that no operation commits."""

    async def remove(self, draft: Draft) -> None:
        """Deletes it with its edits."""

    async def add_edits(self, draft: Draft, numbered: Sequence[tuple[int, Edit]]) -> None:
        """Writes new edits."""

    async def edits(self, draft: Draft, above: int = 0, limit: int | None = None) -> list[tuple[int, Edit]]:
        """Returns edits with numbers above that, in order."""

    async def remove_edits(self, draft: Draft, numbers: Collection[int]) -> None:
        """Deletes edits."""


class Exports(Protocol):
    """The exports of every dataset."""

    async def add(self, export: Export) -> None:
        """Writes a new row."""

    async def find(self, project: str, dataset_id: str, export_id: str) -> Export | None:
        """Returns it; None when there is none."""

    async def expired(self, now: datetime) -> list[Export]:
        """Returns those whose time is over."""

    async def remove(self, export: Export) -> None:
        """Deletes the row."""


class UnitOfWork(Protocol):
    """One transaction, rolled back unless committed."""

    session: AsyncSession  # for operations, whose rows change in the same transaction

    # Read-only, so that an implementation may have narrower types.
    @property
    def datasets(self) -> Datasets:
        """Datasets, as this transaction sees them."""

    @property
    def versions(self) -> Versions:
        """Versions, as this transaction sees them."""

    @property
    def reports(self) -> Reports:
        """Reports, as this transaction sees them."""

    @property
    def exports(self) -> Exports:
        """Exports, as this transaction sees them."""

    @property
    def drafts(self) -> Drafts:
        """Drafts, as this transaction sees them."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exception: Any) -> None: ...

    async def commit(self) -> None:
        """Makes everything since the start visible at once."""


@dataclass(frozen=True, slots=True)
class StartedImport:
    """An import that was started before. `in_vain`: it has ended without a version."""

    job: ImportJob
    operation: Any
    in_vain: bool


class Imports(Protocol):
    """What is making versions and archives, as durable operations."""

    async def find(self, session: AsyncSession, operation: str) -> StartedImport | None:
        """Returns, in the caller's transaction, the import of that operation; None when there is none."""

    async def get(self, session: AsyncSession, operation: str) -> Any:
        """Returns, in the caller's transaction, an operation of any kind; None when there is none."""

    async def start(self, session: AsyncSession, work: Work, state: ImportState | ExportState) -> Any:
        """Writes the operation in the caller's transaction and returns it; an older one of that name wins."""

    async def objects_in_use(self, session: AsyncSession, project: str) -> Set[str]:
        """Returns the objects that imports of a project still read, or will."""

    async def unsettled(self, session: AsyncSession, dataset: str) -> Sequence[str]:
        """Returns the names of operations of a dataset that still work or clean up."""


J_co = TypeVar("J_co", bound=MakesVersion, covariant=True)


class VersionRun(Protocol[J_co]):
    """One try at making a version."""

    @property
    def job(self) -> J_co:
        """What to do."""

    @property
    def restart_count(self) -> int:
        """Tries before this one."""

    async def progress(self, state: ImportState) -> None:
        """Shows the state to those who poll. Raises when it is cancelled or another replica's."""

    async def finish(self, session: AsyncSession, version: Version, state: ImportState) -> None:
        """Ends it well, in the caller's transaction."""


class ExportRun(Protocol):
    """One try at an export."""

    @property
    def job(self) -> ExportJob:
        """What to do."""

    @property
    def restart_count(self) -> int:
        """Tries before this one."""

    async def progress(self, state: ExportState) -> None:
        """Shows the state to those who poll. Raises when it is cancelled or another replica's."""

    async def finish(self, session: AsyncSession, export: Export, url: SignedUrl, state: ExportState) -> None:
        """Ends it well, in the caller's transaction."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator decides."""

    options: Options  # processes, shard size and limits of an import
    datasets_per_project: int
    vision_enabled: bool
    scratch: Path
    undo_window: timedelta  # in which deletions can be undone


@dataclass(frozen=True, slots=True)
class Deps:
    """Everything a use case is handed."""

    unit_of_work: Callable[[], UnitOfWork]
    storage: Storage
    jobs: Jobs
    imports: Imports
    importer: Importer
    rewriter: Rewriter
    exporter: Exporter
    rows: RowReader
    indexes: Indexes
    previewer: Previewer
    clock: Clock
    rules: Rules
