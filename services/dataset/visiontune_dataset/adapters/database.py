"""The repositories on SQLAlchemy Core; each statement runs in the unit of work's transaction."""

# ruff: noqa: D102 - ports.py states what each method promises

import json
import zlib
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, cast

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Table, and_, delete, func, insert, or_, select, update
from sqlalchemy.engine import CursorResult, RowMapping
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from visiontune_data.problem_log import problems_of
from visiontune_data.report import Problem, Report
from visiontune_data.statistics import Statistics
from visiontune_kit import database

from visiontune_dataset.adapters.drafts import Drafts
from visiontune_dataset.adapters.tables import (
    DATASETS,
    DRAFTS,
    EDITS,
    EXPORTS,
    LEFTOVERS,
    PROBLEMS,
    REPORTS,
    SHARDS,
    VERSIONS,
)
from visiontune_dataset.domain.datasets import Dataset, StoredFile, StoredShard, Version
from visiontune_dataset.domain.exports import Export
from visiontune_dataset.domain.failures import (
    DatasetExists,
    DatasetNotFound,
    ReportNotFound,
    StaleEtag,
    VersionNotFound,
)
from visiontune_dataset.ports.database import StoredReport

_STATISTICS = TypeAdapter(Statistics)
_REPORT = TypeAdapter(Report)


class Datasets:
    """See ports.database.Datasets."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, dataset: Dataset) -> None:
        try:
            async with self._session.begin_nested():
                await self._session.execute(insert(DATASETS).values(asdict(dataset)))
        except IntegrityError as error:
            raise DatasetExists(dataset.name, deleting=False) from error

    async def find(self, project: str, dataset_id: str, *, lock: bool = False) -> Dataset | None:
        return await self._read(project, dataset_id, lock=lock)

    async def get(self, project: str, dataset_id: str, *, lock: bool = False) -> Dataset:
        found = await self._read(project, dataset_id, lock=lock)
        if found is None or found.deleting:
            raise DatasetNotFound(f"projects/{project}/datasets/{dataset_id}")
        return found

    async def save(self, dataset: Dataset) -> None:
        changed = await self._session.execute(
            update(DATASETS)
            .where(_is_dataset(dataset.project, dataset.id), DATASETS.c.revision == dataset.revision - 1)
            .values(asdict(dataset))
        )
        if cast("CursorResult[Any]", changed).rowcount == 0:
            raise StaleEtag(dataset.name)

    async def count_and_lock(self, project: str) -> int:
        if (
            self._session.get_bind().dialect.name == "postgresql"
        ):  # SQLite has locked the whole database by then
            key = func.hashtextextended(f"datasets of {project}", 0)
            await self._session.execute(select(func.pg_advisory_xact_lock(key)))
        query = select(func.count()).select_from(DATASETS).where(DATASETS.c.project == project)
        return (await self._session.execute(query)).scalar_one()

    async def page(
        self,
        project: str,
        after: tuple[datetime, str] | None,
        limit: int,
        *,
        deleted_at: datetime | None = None,
    ) -> list[Dataset]:
        columns = DATASETS.c
        shown = columns.purge_at > deleted_at if deleted_at else columns.deleting.is_(False)
        query = select(DATASETS).where(columns.project == project, shown)
        if after:
            at, last_id = after
            older = or_(columns.created_at < at, and_(columns.created_at == at, columns.id < last_id))
            query = query.where(older)
        query = query.order_by(columns.created_at.desc(), columns.id.desc()).limit(limit)
        return [Dataset(**row) for row in (await self._session.execute(query)).mappings()]

    async def past_undo(self, now: datetime) -> list[Dataset]:
        due = or_(DATASETS.c.purge_at.is_(None), DATASETS.c.purge_at <= now)
        query = select(DATASETS).where(DATASETS.c.deleting.is_(True), due)
        return [Dataset(**row) for row in (await self._session.execute(query)).mappings()]

    async def remove(self, dataset: Dataset) -> None:
        for table in (EDITS, DRAFTS, EXPORTS, LEFTOVERS, SHARDS, VERSIONS, PROBLEMS, REPORTS):
            await self._session.execute(delete(table).where(_belongs(table, dataset.project, dataset.id)))
        await self._session.execute(delete(DATASETS).where(_is_dataset(dataset.project, dataset.id)))

    async def _read(self, project: str, dataset_id: str, *, lock: bool) -> Dataset | None:
        query = select(DATASETS).where(_is_dataset(project, dataset_id))
        if lock:
            query = query.with_for_update()  # SQLite has locked the whole database by then
        row = (await self._session.execute(query)).mappings().first()
        return Dataset(**row) if row else None


class Versions:
    """See ports.database.Versions."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, version: Version, statistics: Statistics) -> None:
        values = asdict(version)
        del values["shards"]
        values["kinds"] = json.dumps(version.kinds)
        values["uploads"] = json.dumps(version.uploads)
        values["split_counts"] = json.dumps(dict(version.split_counts))
        values["row_splits"] = zlib.compress(version.row_splits)
        values["statistics"] = zlib.compress(_STATISTICS.dump_json(statistics))
        await self._session.execute(insert(VERSIONS).values(values))
        if version.shards:
            await self._session.execute(insert(SHARDS), [_shard_values(version, s) for s in version.shards])

    async def get(self, project: str, dataset_id: str, number: int, *, deleted: bool = False) -> Version:
        query = select(VERSIONS).where(_belongs(VERSIONS, project, dataset_id), VERSIONS.c.number == number)
        row = (await self._session.execute(query)).mappings().first()
        if row is None or (row["purge_at"] and not deleted):
            raise VersionNotFound(f"projects/{project}/datasets/{dataset_id}/versions/v{number}")
        [version] = await self._with_shards([row])
        return version

    async def page(
        self,
        project: str,
        dataset_id: str,
        below: int | None,
        limit: int,
        *,
        deleted_at: datetime | None = None,
    ) -> list[Version]:
        purge_at = VERSIONS.c.purge_at
        shown = purge_at > deleted_at if deleted_at else purge_at.is_(None)
        query = select(VERSIONS).where(_belongs(VERSIONS, project, dataset_id), shown)
        if below is not None:
            query = query.where(VERSIONS.c.number < below)
        query = query.order_by(VERSIONS.c.number.desc()).limit(limit)
        return await self._with_shards((await self._session.execute(query)).mappings().all())

    async def statistics(self, version: Version) -> Statistics:
        query = select(VERSIONS.c.statistics).where(
            _belongs(VERSIONS, version.project, version.dataset), VERSIONS.c.number == version.number
        )
        return _STATISTICS.validate_json(zlib.decompress((await self._session.execute(query)).scalar_one()))

    async def note_reading(self, version: Version, until: datetime) -> None:
        is_version = and_(
            _belongs(VERSIONS, version.project, version.dataset), VERSIONS.c.number == version.number
        )
        later = or_(VERSIONS.c.read_until.is_(None), VERSIONS.c.read_until < until)
        await self._session.execute(update(VERSIONS).where(is_version, later).values(read_until=until))

    async def set_purge_at(self, version: Version, purge_at: datetime | None) -> None:
        is_version = and_(
            _belongs(VERSIONS, version.project, version.dataset), VERSIONS.c.number == version.number
        )
        await self._session.execute(update(VERSIONS).where(is_version).values(purge_at=purge_at))

    async def past_undo(self, now: datetime) -> list[tuple[str, str, int]]:
        columns = VERSIONS.c
        query = select(columns.project, columns.dataset, columns.number).where(columns.purge_at <= now)
        return [(row[0], row[1], row[2]) for row in await self._session.execute(query)]

    async def remove(self, version: Version) -> None:
        of_dataset = [_belongs(table, version.project, version.dataset) for table in (SHARDS, VERSIONS)]
        await self._session.execute(delete(SHARDS).where(of_dataset[0], SHARDS.c.number == version.number))
        await self._session.execute(
            delete(VERSIONS).where(of_dataset[1], VERSIONS.c.number == version.number)
        )
        used = (
            await self._session.execute(
                select(SHARDS.c.examples_object, SHARDS.c.preview_object).where(of_dataset[0])
            )
        ).all()
        own = {name for shard in version.shards for name in (shard.examples.object, shard.preview.object)}
        if left := own - {name for row in used for name in row}:
            rows = [{"project": version.project, "dataset": version.dataset, "object": name} for name in left]
            await self._session.execute(insert(LEFTOVERS), rows)

    async def leftovers(self) -> list[tuple[str, str]]:
        rows = await self._session.execute(select(LEFTOVERS.c.project, LEFTOVERS.c.object))
        return [(project, name) for project, name in rows]

    async def forget_leftovers(self, objects: Collection[str]) -> None:
        await self._session.execute(delete(LEFTOVERS).where(LEFTOVERS.c.object.in_(list(objects))))

    async def has_owner(self, project: str, dataset_id: str, owner: str) -> bool:
        query = select(VERSIONS.c.number).where(
            _belongs(VERSIONS, project, dataset_id), VERSIONS.c.owner == owner
        )
        return (await self._session.execute(query)).first() is not None

    async def _with_shards(self, rows: Sequence[RowMapping]) -> list[Version]:
        if not rows:
            return []
        numbers = [row["number"] for row in rows]
        query = (
            select(SHARDS)
            .where(_belongs(SHARDS, rows[0]["project"], rows[0]["dataset"]), SHARDS.c.number.in_(numbers))
            .order_by(SHARDS.c.number, SHARDS.c.index)
        )
        shards: dict[int, list[StoredShard]] = {number: [] for number in numbers}
        for row in (await self._session.execute(query)).mappings():
            shards[row["number"]].append(_shard(row))
        return [_version(row, shards[row["number"]]) for row in rows]


class Reports:
    """See ports.database.Reports."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def save(self, stored: StoredReport) -> None:
        where = and_(_belongs(REPORTS, stored.project, stored.dataset), REPORTS.c.id == stored.id)
        if stored.in_progress:
            query = select(REPORTS.c.id).where(where, REPORTS.c.in_progress.is_(False))
            if (await self._session.execute(query)).first():
                return  # a try that is over speaks late
        await self._drop(stored.project, stored.dataset, stored.id)
        await self._session.execute(
            insert(REPORTS).values(
                project=stored.project,
                dataset=stored.dataset,
                id=stored.id,
                content=zlib.compress(_REPORT.dump_json(stored.report)),
                version=stored.version,
                created_at=stored.created_at,
                in_progress=stored.in_progress,
            )
        )
        belongs = {"project": stored.project, "dataset": stored.dataset, "report": stored.id}
        for number, content in enumerate(stored.pages):
            await self._session.execute(insert(PROBLEMS).values(**belongs, page=number, content=content))

    async def problems(self, stored: StoredReport, page: int) -> list[Problem]:
        belongs = _belongs(PROBLEMS, stored.project, stored.dataset)
        query = select(PROBLEMS.c.content).where(
            belongs, PROBLEMS.c.report == stored.id, PROBLEMS.c.page == page
        )
        found = (await self._session.execute(query)).scalar_one_or_none()
        return [] if found is None else problems_of(found)

    async def drop_unfinished(self, project: str, dataset_id: str, report_id: str) -> None:
        where = and_(_belongs(REPORTS, project, dataset_id), REPORTS.c.id == report_id)
        await self._session.execute(delete(REPORTS).where(where, REPORTS.c.in_progress.is_(True)))

    async def _drop(self, project: str, dataset_id: str, report_id: str) -> None:
        for table, column in ((PROBLEMS, PROBLEMS.c.report), (REPORTS, REPORTS.c.id)):
            where = and_(_belongs(table, project, dataset_id), column == report_id)
            await self._session.execute(delete(table).where(where))

    async def get(self, project: str, dataset_id: str, report_id: str) -> StoredReport:
        query = select(REPORTS).where(_belongs(REPORTS, project, dataset_id), REPORTS.c.id == report_id)
        row = (await self._session.execute(query)).mappings().first()
        if row is None:
            raise ReportNotFound(f"projects/{project}/datasets/{dataset_id}/validationReports/{report_id}")
        report = _REPORT.validate_json(zlib.decompress(row["content"]))
        return StoredReport(
            project, dataset_id, report_id, report, row["version"], row["created_at"], row["in_progress"]
        )


class Exports:
    """See ports.database.Exports."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, export: Export) -> None:
        await self._session.execute(insert(EXPORTS).values(asdict(export)))

    async def find(self, project: str, dataset_id: str, export_id: str) -> Export | None:
        query = select(EXPORTS).where(_belongs(EXPORTS, project, dataset_id), EXPORTS.c.id == export_id)
        row = (await self._session.execute(query)).mappings().first()
        return Export(**row) if row else None

    async def expired(self, now: datetime) -> list[Export]:
        query = select(EXPORTS).where(EXPORTS.c.expires_at < now)
        return [Export(**row) for row in (await self._session.execute(query)).mappings()]

    async def remove(self, export: Export) -> None:
        where = _belongs(EXPORTS, export.project, export.dataset)
        await self._session.execute(delete(EXPORTS).where(where, EXPORTS.c.id == export.id))


class UnitOfWork(database.UnitOfWork):
    """See ports.database.UnitOfWork."""

    datasets: Datasets
    versions: Versions
    reports: Reports
    drafts: Drafts
    exports: Exports

    def open(self) -> None:
        self.exports = Exports(self.session)
        self.drafts = Drafts(self.session)
        self.datasets = Datasets(self.session)
        self.versions = Versions(self.session)
        self.reports = Reports(self.session)


def _is_dataset(project: str, dataset_id: str) -> ColumnElement[bool]:
    return and_(DATASETS.c.project == project, DATASETS.c.id == dataset_id)


def _belongs(table: Table, project: str, dataset_id: str) -> ColumnElement[bool]:
    return and_(table.c.project == project, table.c.dataset == dataset_id)


def _shard_values(version: Version, shard: StoredShard) -> dict[str, Any]:
    return {
        "project": version.project,
        "dataset": version.dataset,
        "number": version.number,
        "index": shard.index,
        "row_count": shard.row_count,
        "split_counts": json.dumps(dict(shard.split_counts)),
        **{f"examples_{key}": value for key, value in asdict(shard.examples).items()},
        **{f"preview_{key}": value for key, value in asdict(shard.preview).items()},
    }


def _shard(row: RowMapping) -> StoredShard:
    files = [
        StoredFile(row[f"{kind}_object"], row[f"{kind}_sha256"], row[f"{kind}_size_bytes"])
        for kind in ("examples", "preview")
    ]
    return StoredShard(row["index"], row["row_count"], json.loads(row["split_counts"]), *files)


def _version(row: RowMapping, shards: Sequence[StoredShard]) -> Version:
    values = {key: value for key, value in row.items() if key != "statistics"}
    values["kinds"] = tuple(json.loads(row["kinds"]))
    values["uploads"] = tuple(json.loads(row["uploads"]))
    values["split_counts"] = json.loads(row["split_counts"])
    values["row_splits"] = zlib.decompress(row["row_splits"])
    return Version(**values, shards=tuple(shards))
