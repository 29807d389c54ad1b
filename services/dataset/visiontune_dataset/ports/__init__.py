"""What the use cases need from the world, the database apart; `adapters` has it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession
from visiontune_data.example import Example
from visiontune_data.export import ExportSummary
from visiontune_data.index import VersionIndex
from visiontune_data.ingest import Options, Outcome, Progress
from visiontune_data.joining import Mode
from visiontune_data.rewrite import Rewritten
from visiontune_data.shards import Shard, ShardFile
from visiontune_kit.clock import Clock
from visiontune_recipes.augmentation import Augmentation

from visiontune_dataset.domain.datasets import StoredFile, StoredShard, Version
from visiontune_dataset.domain.exports import Export, ExportJob, ExportState
from visiontune_dataset.domain.imports import ImportJob, ImportState
from visiontune_dataset.domain.links import ImageLink
from visiontune_dataset.domain.work import MakesVersion, Work
from visiontune_dataset.ports.database import UnitOfWork

PARQUET = "application/vnd.apache.parquet"
NOTHING: Mapping[str, str] = MappingProxyType({})


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

    async def uploaded(self, project: str, most_bytes: int) -> dict[str, str]:
        """Returns the objects that uploads own and that are no longer than that, by sha256 (hex)."""

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
        earlier: Sequence[ReadableShard] = (),
        uploaded: Mapping[str, str] = NOTHING,
        base: ReadableBase | None = None,
        progress: Callable[[Progress], Awaitable[None]],
        finished: Callable[[Shard], Awaitable[None]],
    ) -> Outcome:
        """Returns what visiontune_data.ingest returns. Raises ChildDied, SourceUnavailable.

        `earlier` are the shards whose images records may name by digest, `uploaded` the URLs by sha256 of
        files that may be such images, too; `base` is the version to go on from.
        """


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
        """Augments one picture. Raises PreviewNotInstalled, HelperFailed, HelperBusy."""


class SignsLinks(Protocol):
    """Makes links to pictures, which prove by themselves that they may be opened."""

    def url(self, link: ImageLink, ends_at: datetime) -> str:
        """Returns the address; the same for the same arguments."""

    def read(self, token: str) -> tuple[ImageLink, datetime]:
        """Returns what the last segment of an address leads to, and when it ends. Raises ImageLinkInvalid."""


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
    links: SignsLinks | None  # None: the operator did not say where they begin
    clock: Clock
    rules: Rules
