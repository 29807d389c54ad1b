"""What the use cases need from the world; `adapters` has it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, Self

from sqlalchemy.ext.asyncio import AsyncSession
from visiontune_kit.clock import Clock

from visiontune_storage.domain.alerts import Alert
from visiontune_storage.domain.egress import EgressHour
from visiontune_storage.domain.garbage import Collected, Collection
from visiontune_storage.domain.in_flight import InFlight
from visiontune_storage.domain.objects import Garbage, StoredKey, StoredObject
from visiontune_storage.domain.quotas import Quota
from visiontune_storage.domain.uploads import MIB, PartPlan, ReceivedPart, SigningWindow, Upload
from visiontune_storage.domain.usage import Kept, Sample


class ObjectStore(Protocol):
    """An S3 bucket. Every method raises ObjectStoreUnavailable when it does not answer."""

    async def start_upload(self, key: str, content_type: str) -> str:
        """Begins a multipart upload and returns the store's id of it."""

    async def find_upload(self, key: str) -> str | None:
        """Returns the store's id of an upload to this key that was begun and not ended."""

    async def list_parts(self, key: str, store_upload_id: str) -> list[ReceivedPart] | None:
        """Returns what has arrived, a part twice when it was put twice; None for an unknown upload."""

    async def finish_upload(self, key: str, store_upload_id: str, parts: Sequence[ReceivedPart]) -> bool:
        """Makes one object of the parts, and answers whether it could: a part may be too small for S3.

        True also when there is no such upload any more: see size_of.
        """

    def take_read_bytes(self) -> int:
        """Returns the bytes that this program has read itself since it was asked last."""

    async def cancel_upload(self, key: str, store_upload_id: str) -> None:
        """Ends an upload that nobody will use, and its parts. Harmless when there is none."""

    async def put_part(self, key: str, store_upload_id: str, number: int, data: memoryview) -> None:
        """Writes one part of an upload that was begun."""

    async def size_of(self, key: str) -> int | None:
        """Returns an object's length in bytes; None when there is none."""

    async def sha256_of(self, key: str) -> str:
        """Reads an object once and returns the lower-case hex digest."""

    async def purge_upload(self, key: str, store_upload_id: str) -> None:
        """Leaves neither parts nor object at `key`. Harmless when there is nothing."""

    async def purge_object(self, key: str) -> None:
        """Leaves no object at `key`. Harmless when there is none."""

    async def folders(self) -> list[str]:
        """Returns what keys begin with, up to their first slash."""

    async def list_keys(self, prefix: str, after: str, limit: int) -> list[StoredKey]:
        """Returns keys that begin so and come behind `after`, in the order of bytes."""

    async def list_uploads(self, prefix: str) -> list[StoredKey]:
        """Returns multipart uploads that were begun and not ended; some stores always answer with none."""

    async def sign_parts(self, upload: Upload, window: SigningWindow) -> list[str]:
        """Returns a URL for the PUT of each part, in part order."""

    async def sign_reads(self, keys: Sequence[str], window: SigningWindow) -> list[str]:
        """Returns a URL for GET of each object."""


class Uploads(Protocol):
    """The uploads of every project."""

    async def add(self, upload: Upload) -> None:
        """Writes a new row."""

    async def find(self, project: str, upload_id: str) -> Upload | None:
        """Returns it, or None."""

    async def get(self, project: str, upload_id: str) -> Upload:
        """Returns it. Raises UploadNotFound."""

    async def save(self, upload: Upload) -> None:
        """Writes a change of the version before. Raises StaleEtag when somebody else was first."""

    async def pending_of(self, project: str, owner: str, limit: int) -> list[Upload]:
        """Returns pending uploads of an owner and of what is below it."""

    async def overdue(self, now: datetime, limit: int, project: str = "") -> list[Upload]:
        """Returns pending uploads that have expired, of all projects unless one is named."""

    async def forget_ended(self, before: datetime) -> int:
        """Deletes rows of uploads that ended and were made before then; returns how many."""


class Objects(Protocol):
    """The objects of every project."""

    async def add(self, made: StoredObject) -> None:
        """Writes a new row."""

    async def get_all(self, project: str, object_ids: Sequence[str]) -> list[StoredObject]:
        """Returns them in that order. Raises ObjectNotFound when one is missing."""

    async def page(
        self,
        project: str,
        owner: str,
        after: tuple[datetime, str] | None,
        limit: int,
        *,
        deleted: bool = False,
    ) -> list[StoredObject]:
        """Returns objects made after that (time, id), oldest first; of all owners when `owner` is empty.

        deleted: those that can still be brought back, or wait to be purged, as well.
        """

    async def remove(self, project: str, object_ids: Sequence[str]) -> list[StoredObject]:
        """Deletes rows and returns those that were still there."""

    async def mark(self, project: str, object_ids: Sequence[str], purge_at: datetime) -> list[StoredObject]:
        """Deletes objects so that they can be brought back until then; returns those that were there."""

    async def restore(
        self, project: str, object_ids: Sequence[str], owner: str, now: datetime
    ) -> list[StoredObject]:
        """Brings objects back, by id or of an owner and what is below it; returns those that could be."""

    async def past_undo(self, now: datetime, project: str, limit: int) -> list[StoredObject]:
        """Returns deleted objects past their undo window, of all projects unless one is named."""

    async def has(self, key: str) -> bool:
        """Whether an object has its bytes there."""

    async def by_key(self, project: str, after: str, limit: int) -> list[StoredObject]:
        """Returns objects behind that key in the order of keys, byte by byte; deleted ones as well."""


class Quotas(Protocol):
    """The quotas of every project."""

    async def get(self, project: str) -> Quota:
        """Returns it; the defaults for a project that has none of its own."""

    async def lock(self, project: str) -> Quota:
        """Returns it and keeps others from changing it until the transaction ends.

        A transaction that changes anything about a project takes this lock before all else: changes to one
        project come one after the other, and no two transactions wait for each other.
        """

    async def save(self, quota: Quota) -> None:
        """Writes the use in what `lock` returned, changed."""

    async def projects(self) -> set[str]:
        """Returns every project that has ever kept anything here."""

    async def save_limits(self, quota: Quota, limits: Mapping[str, int | None]) -> None:
        """Writes limits by the name of their field, None for the default, and the quota's new version."""


class Alerts(Protocol):
    """What was told about quotas."""

    async def add(self, alerts: Sequence[Alert]) -> None:
        """Writes new rows."""

    async def page(self, project: str, after: tuple[datetime, str] | None, limit: int) -> list[Alert]:
        """Returns alerts from before that (time, id), newest first."""

    async def forget(self, before: datetime) -> None:
        """Deletes older ones."""


class Usages(Protocol):
    """What projects keep, and kept."""

    async def kept(self, project: str) -> list[Kept]:
        """Returns what each owner of a project keeps now."""

    async def sample(self, hour: datetime) -> None:
        """Writes what every project keeps now as that hour's count, unless it was counted already."""

    async def between(self, project: str, start: datetime, end: datetime) -> list[Sample]:
        """Returns a project's samples from a span, oldest first."""

    async def forget(self, before: datetime) -> None:
        """Deletes older samples."""


class EgressCounts(Protocol):
    """What the object store sent."""

    async def counters(self) -> Mapping[str, int]:
        """Returns what the counters said last, by page."""

    async def move(self, page: str, before: int | None, now: int) -> bool:
        """Notes what a counter says; False when it is not at `before` (None: never seen) any more."""

    async def add(self, each: EgressHour) -> None:
        """Adds to an hour."""

    async def between(self, start: datetime, end: datetime) -> list[EgressHour]:
        """Returns the hours of a span, oldest first."""

    async def forget(self, before: datetime) -> None:
        """Deletes older hours."""


class StoreMetrics(Protocol):
    """What the object store says of itself."""

    async def sent_bytes(self, page: str) -> int | None:
        """Returns a counter of the bytes sent from the bucket; None when the page does not answer."""


class GarbageHeap(Protocol):
    """Bytes to delete."""

    async def add(self, garbage: Sequence[Garbage]) -> None:
        """Writes new rows."""

    async def due(self, now: datetime, limit: int) -> list[Garbage]:
        """Returns what is to be deleted by now, longest waiting first."""

    async def postpone(self, garbage: Garbage) -> None:
        """Writes a new `due_at`."""

    async def remove(self, key: str) -> None:
        """Deletes a row; its bytes are gone."""

    async def strangers(self, keys: Sequence[str]) -> set[str]:
        """Returns those keys that no object, no pending upload and no garbage has. At most 1,000."""


class Collections(Protocol):
    """Collections of garbage, as durable operations."""

    async def start(self, session: AsyncSession, job: Collection) -> Any:
        """Writes the operation in the caller's transaction and returns it; an older one of that name wins."""


class CollectRun(Protocol):
    """One try at a collection."""

    @property
    def job(self) -> Collection:
        """What to do."""

    async def progress(self, compared_count: int) -> None:
        """Shows how far it is. Raises when it was cancelled or is another replica's."""

    async def finish(self, session: AsyncSession, found: Collected) -> None:
        """Ends it well, in the caller's transaction."""


class UnitOfWork(Protocol):
    """One transaction, rolled back unless committed."""

    session: AsyncSession  # for operations, whose rows change in the same transaction

    # Read-only, so that an implementation may have narrower types.
    @property
    def uploads(self) -> Uploads:
        """Uploads, as this transaction sees them."""

    @property
    def objects(self) -> Objects:
        """Objects, as this transaction sees them."""

    @property
    def quotas(self) -> Quotas:
        """Quotas, as this transaction sees them."""

    @property
    def garbage(self) -> GarbageHeap:
        """Bytes to delete, as this transaction sees them."""

    @property
    def usages(self) -> Usages:
        """What is kept, as this transaction sees it."""

    @property
    def egress(self) -> EgressCounts:
        """What was sent, as this transaction sees it."""

    @property
    def alerts(self) -> Alerts:
        """What was told about quotas, as this transaction sees it."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exception: Any) -> None: ...

    async def commit(self) -> None:
        """Makes everything since the start visible at once."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator decides."""

    parts: PartPlan = field(default_factory=PartPlan)
    upload_url_ttl: timedelta = timedelta(hours=1)
    read_url_ttl: timedelta = timedelta(hours=1)
    upload_ttl: timedelta = timedelta(hours=24)  # from creation to expiry
    small_upload_limit_bytes: int = 16 * MIB
    small_upload_timeout: timedelta = timedelta(minutes=1)
    price_per_gib_month: float | None = None  # None: no costs are told
    metrics_pages: Sequence[str] = ()  # where the object store reports what it sends; none: not counted
    price_per_gib_egress: float | None = None  # None: no costs are told
    orphan_grace: timedelta = timedelta(days=7)  # how long bytes that belong to nothing stay
    ended_upload_ttl: timedelta = timedelta(days=30)  # how long an ended upload can still be read


@dataclass(frozen=True, slots=True)
class Deps:
    """Everything a use case is handed."""

    unit_of_work: Callable[[], UnitOfWork]
    objects: ObjectStore
    metrics: StoreMetrics
    collections: Collections
    clock: Clock
    new_key: Callable[[str], str]  # a key in the bucket for a project: never the same twice, ASCII
    in_flight: InFlight
    rules: Rules = Rules()
