"""The repositories on SQLAlchemy Core; each statement runs in the unit of work's transaction."""

# ruff: noqa: D102 - ports.py states what each method promises

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, and_, delete, insert, or_, select, update
from sqlalchemy.engine import CursorResult, Result, RowMapping
from sqlalchemy.ext.asyncio import AsyncSession
from visiontune_kit import database

from visiontune_storage.adapters.egress import EgressCounts
from visiontune_storage.adapters.quotas import Alerts, Defaults, Quotas
from visiontune_storage.adapters.tables import GARBAGE, OBJECTS, UPLOADS
from visiontune_storage.adapters.usage import Usages
from visiontune_storage.domain.failures import ObjectNotFound, StaleEtag, UploadNotFound
from visiontune_storage.domain.objects import Garbage, StoredObject
from visiontune_storage.domain.uploads import State, Upload

# SQLite allows 32,766 parameters in a statement; each id is one.
_MOST_IDS = 1_000


class Uploads:
    """See ports.Uploads."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, upload: Upload) -> None:
        await self._session.execute(insert(UPLOADS).values(asdict(upload)))

    async def find(self, project: str, upload_id: str) -> Upload | None:
        found = await self._session.execute(select(UPLOADS).where(_is(UPLOADS, project, upload_id)))
        row = found.mappings().first()
        return _upload(row) if row else None

    async def get(self, project: str, upload_id: str) -> Upload:
        found = await self.find(project, upload_id)
        if found is None:
            raise UploadNotFound(f"projects/{project}/uploads/{upload_id}")
        return found

    async def save(self, upload: Upload) -> None:
        changed = await self._session.execute(
            update(UPLOADS)
            .where(_is(UPLOADS, upload.project, upload.id), UPLOADS.c.version == upload.version - 1)
            .values(state=upload.state, store_upload_id=upload.store_upload_id, version=upload.version)
        )
        if _row_count(changed) == 0:
            raise StaleEtag(upload.name)

    async def pending_of(self, project: str, owner: str, limit: int) -> list[Upload]:
        columns = UPLOADS.c
        rows = await self._session.execute(
            select(UPLOADS)
            .where(columns.project == project, columns.state == State.PENDING, _owned_by(UPLOADS, owner))
            .order_by(columns.id)
            .limit(limit)
        )
        return [_upload(row) for row in rows.mappings()]

    async def overdue(self, now: datetime, limit: int, project: str = "") -> list[Upload]:
        columns = UPLOADS.c
        query = select(UPLOADS).where(columns.state == State.PENDING, columns.expires_at <= now)
        if project:
            query = query.where(columns.project == project)
        rows = await self._session.execute(query.order_by(columns.expires_at).limit(limit))
        return [_upload(row) for row in rows.mappings()]

    async def forget_ended(self, before: datetime) -> int:
        columns = UPLOADS.c
        return _row_count(
            await self._session.execute(
                delete(UPLOADS).where(columns.state != State.PENDING, columns.created_at < before)
            )
        )


class Objects:
    """See ports.Objects."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, made: StoredObject) -> None:
        await self._session.execute(insert(OBJECTS).values(asdict(made)))

    async def get_all(self, project: str, object_ids: Sequence[str]) -> list[StoredObject]:
        rows = await self._session.execute(
            select(OBJECTS).where(_is_any(OBJECTS, project, object_ids), OBJECTS.c.purge_at.is_(None))
        )
        found = {row["id"]: _object(row) for row in rows.mappings()}
        if missing := [each for each in object_ids if each not in found]:
            raise ObjectNotFound(f"projects/{project}/objects/{missing[0]}", others=len(missing) - 1)
        return [found[each] for each in object_ids]

    async def page(
        self,
        project: str,
        owner: str,
        after: tuple[datetime, str] | None,
        limit: int,
        *,
        deleted: bool = False,
    ) -> list[StoredObject]:
        columns = OBJECTS.c
        query = select(OBJECTS).where(columns.project == project)
        if not deleted:
            query = query.where(columns.purge_at.is_(None))
        if owner:
            query = query.where(_owned_by(OBJECTS, owner))
        if after:
            query = query.where(_later_than(after))
        rows = await self._session.execute(query.order_by(columns.created_at, columns.id).limit(limit))
        return [_object(row) for row in rows.mappings()]

    async def remove(self, project: str, object_ids: Sequence[str]) -> list[StoredObject]:
        rows = await self._session.execute(
            delete(OBJECTS).where(_is_any(OBJECTS, project, object_ids)).returning(*OBJECTS.c)
        )
        return [_object(row) for row in rows.mappings()]

    async def mark(self, project: str, object_ids: Sequence[str], purge_at: datetime) -> list[StoredObject]:
        rows = await self._session.execute(
            update(OBJECTS)
            .where(_is_any(OBJECTS, project, object_ids), OBJECTS.c.purge_at.is_(None))
            .values(purge_at=purge_at)
            .returning(*OBJECTS.c)
        )
        return [_object(row) for row in rows.mappings()]

    async def restore(
        self, project: str, object_ids: Sequence[str], owner: str, now: datetime
    ) -> list[StoredObject]:
        which = _owned_by(OBJECTS, owner) if owner else _is_any(OBJECTS, project, object_ids)
        rows = await self._session.execute(
            update(OBJECTS)
            .where(OBJECTS.c.project == project, which, OBJECTS.c.purge_at > now)
            .values(purge_at=None)
            .returning(*OBJECTS.c)
        )
        return [_object(row) for row in rows.mappings()]

    async def past_undo(self, now: datetime, project: str, limit: int) -> list[StoredObject]:
        query = select(OBJECTS).where(OBJECTS.c.purge_at <= now)
        if project:
            query = query.where(OBJECTS.c.project == project)
        rows = await self._session.execute(query.order_by(OBJECTS.c.purge_at).limit(limit))
        return [_object(row) for row in rows.mappings()]

    async def has(self, key: str) -> bool:
        return await self._session.scalar(select(OBJECTS.c.id).where(OBJECTS.c.key == key)) is not None

    async def by_key(self, project: str, after: str, limit: int) -> list[StoredObject]:
        columns = OBJECTS.c
        rows = await self._session.execute(
            select(OBJECTS)
            .where(columns.project == project, columns.key > after)
            .order_by(columns.key)
            .limit(limit)
        )
        return [_object(row) for row in rows.mappings()]


class GarbageHeap:
    """See ports.GarbageHeap."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, garbage: Sequence[Garbage]) -> None:
        if garbage:
            await self._session.execute(insert(GARBAGE), [asdict(each) for each in garbage])

    async def due(self, now: datetime, limit: int) -> list[Garbage]:
        rows = await self._session.execute(
            select(GARBAGE).where(GARBAGE.c.due_at <= now).order_by(GARBAGE.c.due_at).limit(limit)
        )
        return [Garbage(**row) for row in rows.mappings()]

    async def postpone(self, garbage: Garbage) -> None:
        await self._session.execute(
            update(GARBAGE).where(GARBAGE.c.key == garbage.key).values(due_at=garbage.due_at)
        )

    async def remove(self, key: str) -> None:
        await self._session.execute(delete(GARBAGE).where(GARBAGE.c.key == key))

    async def strangers(self, keys: Sequence[str]) -> set[str]:
        unknown = set(keys)
        pending = (UPLOADS.c.state == State.PENDING,)
        for table, more in ((OBJECTS, ()), (UPLOADS, pending), (GARBAGE, ())):
            found = await self._session.scalars(select(table.c.key).where(table.c.key.in_(unknown), *more))
            unknown -= set(found)
        return unknown


class UnitOfWork(database.UnitOfWork):
    """One transaction with the repositories of this service."""

    uploads: Uploads
    objects: Objects
    quotas: Quotas
    garbage: GarbageHeap
    alerts: Alerts
    usages: Usages
    egress: EgressCounts

    def __init__(self, database: database.Database, defaults: Defaults) -> None:
        super().__init__(database)
        self._defaults = defaults

    def open(self) -> None:
        """Makes the repositories on the session that has just begun."""
        self.uploads = Uploads(self.session)
        self.objects = Objects(self.session)
        self.quotas = Quotas(self.session, self._defaults)
        self.garbage = GarbageHeap(self.session)
        self.alerts = Alerts(self.session)
        self.usages = Usages(self.session)
        self.egress = EgressCounts(self.session)


def _is(table: Table, project: str, row_id: str) -> ColumnElement[bool]:
    return and_(table.c.project == project, table.c.id == row_id)


def _is_any(table: Table, project: str, row_ids: Sequence[str]) -> ColumnElement[bool]:
    if len(row_ids) > _MOST_IDS:
        raise ValueError(f"{len(row_ids)} ids in one statement; at most {_MOST_IDS}")
    return and_(table.c.project == project, table.c.id.in_(row_ids))


def _owned_by(table: Table, owner: str) -> ColumnElement[bool]:
    """The owner itself and what is below it: `a/b` owns `a/b/c`, not `a/bc`."""
    column = table.c.owner
    after_slash = chr(ord("/") + 1)
    return or_(column == owner, and_(column >= f"{owner}/", column < f"{owner}{after_slash}"))


def _later_than(position: tuple[datetime, str]) -> ColumnElement[bool]:
    columns = OBJECTS.c
    at, object_id = position
    return or_(columns.created_at > at, and_(columns.created_at == at, columns.id > object_id))


def _upload(row: RowMapping) -> Upload:
    return Upload(**{**row, "state": State(row["state"])})


def _object(row: RowMapping) -> StoredObject:
    return StoredObject(**row)


def _row_count(result: Result[Any]) -> int:
    """Rows that an UPDATE or DELETE touched."""
    return cast("CursorResult[Any]", result).rowcount
