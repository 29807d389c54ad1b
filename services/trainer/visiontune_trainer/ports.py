"""What the use cases need from outside, as protocols. `adapters` and `compute` implement them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NewType, Protocol, Self

from visiontune_recipes.check import Problem
from visiontune_recipes.facts import DatasetFacts
from visiontune_recipes.spec import Resources

from visiontune_trainer.domain.folders import Folder, FolderState, StoredFile
from visiontune_trainer.domain.job import Attempt, Event, Job
from visiontune_trainer.domain.models import Model, ModelFilter
from visiontune_trainer.domain.next_step import Observation
from visiontune_trainer.domain.reports import LogLine, MetricPoint, Sample, SampleAnswer
from visiontune_trainer.domain.usage import MachineTime

# A serialised visiontune.dataset.v1.ReadManifest, which this service passes on unread.
Manifest = NewType("Manifest", bytes)


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """A dataset version, as far as a job depends on it."""

    digest: str
    facts: DatasetFacts


class Datasets(Protocol):
    """The dataset service."""

    async def get_version(self, name: str) -> DatasetVersion:
        """Raises NotFound for a version that is absent or another project's."""

    async def largest_rows(self, name: str, most: int) -> list[int]:
        """Rows of the version that train or validate: those with most text, and those with most pixels.

        most: of each. Raises NotFound.
        """

    async def read_manifest(self, name: str, ttl: timedelta) -> Manifest:
        """Returns the shards with fresh signed URLs, which work so long. Raises NotFound."""


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """Where to GET one object."""

    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SignedFiles:
    """Files of a checkpoint or a model, with where to GET each, by object."""

    name: str
    files: tuple[StoredFile, ...]
    urls: Mapping[str, SignedUrl]
    step: int = 0
    is_adapter: bool = False


class ModelFolders(Protocol):
    """Folders with models, below those that the operator allows."""

    def config(self, folder: str) -> Mapping[str, Any] | None:
        """What config.json says, read from disk; None where this machine cannot read it."""


class HubConfigs(Protocol):
    """Repositories on the Hugging Face Hub, where the operator lets the trainer look at them."""

    async def config(self, repo_id: str, revision: str) -> Mapping[str, Any] | str:
        """What config.json says; or a sentence why none can be read. revision: empty for the main branch."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that a worker wants to store."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PreparedUpload:
    """Where to PUT one file."""

    path: str
    upload: str
    part_size_bytes: int
    part_urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What an upload became."""

    object: str
    owner: str
    size_bytes: int
    sha256: str


class Storage(Protocol):
    """The storage service."""

    async def create_upload(self, folder: Folder, file: NewFile) -> PreparedUpload:
        """Repeating it for the same file of the same folder returns the same upload, signed afresh."""

    async def put(self, folder: Folder, path: str, content: bytes) -> StoredObject:
        """Stores a small file of a folder in one call. Repeating it returns the same.

        Raises QuotaExceeded, TooManyObjects, TooLargeForOneCall.
        """

    async def complete_upload(self, upload: str) -> StoredObject:
        """Repeating it returns the same."""

    async def sign(self, project: str, objects: Sequence[str]) -> Mapping[str, SignedUrl]:
        """Signs a GET URL for each of at most 1,000 objects of one project."""

    async def delete_owned(self, owner: str) -> None:
        """Deletes all that `owner` has, pending uploads included. Safe to repeat."""


@dataclass(frozen=True, slots=True)
class AcceleratorKind:
    """A kind of accelerator, as far as users choose by it. None: the operator did not say."""

    name: str
    memory_bytes: int | None
    max_count: int  # on one node
    has_spot: bool
    price_per_hour: float | None  # of one
    spot_price_per_hour: float | None
    bf16_flops: float | None = None  # of one, in a second
    has_bf16: bool = True


@dataclass(frozen=True, slots=True)
class Launch:
    """What a backend needs to start a worker."""

    attempt: str  # the attempt's name, which is the worker's name as well
    token: str
    traceparent: str
    uid: str = ""  # of the job: tells it from a deleted one of the same name
    spec_digest: str = ""
    resources: Resources = field(default_factory=Resources)
    remaining_s: float | None = None  # what max_duration leaves; None for no limit


class Backend(Protocol):
    """Where workers run. A worker does not know which backend started it."""

    slots: int | None  # workers that fit at once; None when the backend queues by itself
    # How long a worker of an attempt that the database does not know is left alone.
    patience_with_strangers: timedelta

    def problems_of(self, resources: Resources) -> Sequence[Problem]:
        """What stands against running a job with these resources here; fields are paths within the spec."""

    def accelerators(self) -> Sequence[AcceleratorKind]:
        """What a job may ask for by name, in order of name."""

    async def launch(self, launch: Launch) -> None:
        """Starts the attempt's worker, or finds the one that an earlier call started.

        Raises LaunchRefused when it will never start, LaunchPostponed when it cannot start yet for a reason
        that the user should know, BackendUnavailable when nobody can tell now.
        """

    async def attempt_of(self, machine_token: str) -> str:
        """Returns the attempt whose worker holds this token, made by the machine's own identity.

        Raises Unauthenticated when it is no such token, BackendUnavailable when nobody can tell now.
        """

    async def observe(self, attempt: str) -> Observation:
        """Looks at the attempt's worker. UNREACHABLE when it cannot see."""

    async def stop(self, attempt: str) -> bool:
        """Asks the worker to end, later insists; True once nothing of it is left. Call it until then."""

    async def attempts(self) -> Sequence[str]:
        """Names of all attempts of which something is left. Raises BackendUnavailable."""

    def machine_times(self) -> Sequence[MachineTime]:
        """Times of all machines of which something is known. Raises BackendUnavailable."""

    async def close(self) -> None:
        """Called at shutdown, while the services still answer."""


class Jobs(Protocol):
    """Jobs and their attempts."""

    async def get(self, name: str) -> Job | None:
        """Returns the job, or None."""

    async def lock(self, name: str) -> Job | None:
        """Returns the job, held until the transaction ends. Every write about a job begins with it."""

    async def add(self, job: Job, /) -> None:
        """Adds a job. Raises Aborted when another call adds it too."""

    async def save(self, job: Job, /) -> None:
        """Replaces the job of that name."""

    async def delete(self, name: str) -> None:
        """Deletes the job with its attempts, events, metrics, lines and samples; not its folders."""

    async def page(
        self, project: str, dataset: str, after: tuple[datetime, str] | None, limit: int
    ) -> list[Job]:
        """Newest first, after the position (created_at, name)."""

    async def starting_from(self, model: str, limit: int) -> list[str]:
        """Names of jobs that are not in a final state and start from the registered model."""

    async def unfinished(self) -> list[tuple[Job, Attempt | None]]:
        """Jobs of all projects that are not at rest, those with a worker first, then oldest first.

        Each with its current attempt, None without a worker.
        """

    async def change_of(self, name: str) -> int | None:
        """Returns the job's `change`, cheaply."""

    async def get_attempt(self, job: str, number: int) -> Attempt | None:
        """Returns the attempt, or None."""

    async def find_attempt(self, token_hash: str) -> Attempt | None:
        """Returns the attempt with that token, or None."""

    async def add_attempt(self, attempt: Attempt, /) -> None:
        """Adds an attempt."""

    async def save_attempt(self, attempt: Attempt, /) -> None:
        """Replaces the attempt of that number."""


class Records(Protocol):
    """What is recorded about jobs. `changed_*`: those with after < change <= upto, in that order."""

    async def add_event(self, event: Event, /) -> None:
        """Adds an event."""

    async def events(self, job: str, after: int, limit: int) -> list[Event]:
        """By sequence, after that one."""

    async def changed_events(self, job: str, after: int, upto: int, limit: int) -> list[Event]:
        """Events by change."""

    async def metric_at(self, job: str, step: int) -> MetricPoint | None:
        """Returns the point of a step, or None."""

    async def put_metric(self, point: MetricPoint, /) -> None:
        """Replaces the point of the same step."""

    async def metrics(self, job: str, after: int, limit: int) -> list[MetricPoint]:
        """By step, after that one."""

    async def changed_metrics(self, job: str, after: int, upto: int, limit: int) -> list[MetricPoint]:
        """Points by change."""

    async def add_log_lines(self, lines: Sequence[LogLine]) -> None:
        """Adds lines."""

    async def log_lines(self, job: str, after: int, limit: int) -> list[LogLine]:
        """By sequence, after that one."""

    async def log_lines_of_attempt(self, job: str, attempt: int, after: int, limit: int) -> list[LogLine]:
        """An attempt's lines by sequence, after that one."""

    async def changed_log_lines(self, job: str, after: int, upto: int, limit: int) -> list[LogLine]:
        """Lines by change."""

    async def put_sample(self, sample: Sample) -> None:
        """Replaces the sample of the same example."""

    async def put_answer(self, answer: SampleAnswer) -> None:
        """Stores what the model said at a step, over what it said there before."""

    async def answers(self, job: str, example: str) -> list[SampleAnswer]:
        """Returns what the model said about an example, by step."""

    async def drop_answers(self, job: str, example: str, steps: Sequence[int]) -> None:
        """Forgets what it said at these steps."""

    async def samples(self, job: str) -> list[Sample]:
        """In row order of their examples."""


class Folders(Protocol):
    """Checkpoints, artifacts and logs."""

    async def get(self, job: str, path: str, attempt: int) -> Folder | None:
        """Returns the folder, or None."""

    async def add(self, folder: Folder, /) -> None:
        """Adds a folder."""

    async def save(self, folder: Folder, /) -> None:
        """Replaces the folder of that path and attempt."""

    async def delete(self, folder: Folder) -> None:
        """Forgets the folder; its objects are gone or a model has them."""

    async def of(self, job: str, *states: FolderState) -> list[Folder]:
        """A job's folders in these states, by path."""

    async def logs_to_keep(self, limit: int) -> list[Folder]:
        """Folders for logs of attempts that have ended, of all jobs, oldest first."""

    async def doomed(self, limit: int) -> list[Folder]:
        """Folders of all jobs whose objects are to be deleted."""


class Models(Protocol):
    """Registered models."""

    async def get(self, name: str) -> Model | None:
        """Returns the model, or None."""

    async def lock(self, name: str) -> Model | None:
        """Returns the model, which cannot be deleted until the transaction ends."""

    async def add(self, model: Model, /) -> None:
        """Adds a model. Raises Aborted when another call adds it too."""

    async def delete(self, name: str) -> None:
        """Deletes the model; not its files."""

    async def page(
        self, project: str, wanted: ModelFilter, after: tuple[datetime, str] | None, limit: int
    ) -> list[Model]:
        """Newest first, after the position (created_at, name)."""

    async def adapters_on(self, model: str, limit: int) -> list[str]:
        """Names of the adapters that are loaded on top of the model."""

    async def made_of(self, owner: str) -> bool:
        """Tells whether a model's files belong to `owner`."""


class Usage(Protocol):
    """Machines' times. They stay when their job is deleted."""

    async def put(self, *times: MachineTime) -> None:
        """Replaces the times of the same machines."""

    async def running(self) -> list[MachineTime]:
        """Times without an end."""

    async def between(self, project: str, job: str, start: datetime, end: datetime) -> list[MachineTime]:
        """Times of a project that touch the span; only those of `job`, unless that is empty."""


class Leases(Protocol):
    """Rights that one replica has at a time."""

    async def take(self, name: str, holder: str, now: datetime, until: datetime) -> bool:
        """Takes or renews it; False while another holder's has not run out."""

    async def release(self, name: str, holder: str) -> None:
        """Gives it back, if the holder has it."""


class UnitOfWork(Protocol):
    """One transaction. Leaving it without `commit` rolls back."""

    jobs: Jobs
    records: Records
    folders: Folders
    models: Models
    usage: Usage
    leases: Leases

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exception: object) -> None: ...

    async def commit(self) -> None:
        """Makes everything since the start visible at once."""
