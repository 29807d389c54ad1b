"""What one transaction of the database offers; `adapters.database` has it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, Self

from sqlalchemy.ext.asyncio import AsyncSession
from visiontune_data.edits import Edit
from visiontune_data.report import Problem, Report
from visiontune_data.statistics import Statistics

from visiontune_dataset.domain.datasets import Dataset, Version
from visiontune_dataset.domain.drafts import Draft
from visiontune_dataset.domain.exports import Export


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
