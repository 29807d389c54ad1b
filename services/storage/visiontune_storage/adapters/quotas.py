"""Quotas and their alerts on SQLAlchemy Core."""

# ruff: noqa: D102 - ports.py states what each method promises

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import and_, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from visiontune_storage.adapters.tables import ALERTS, QUOTAS, UPLOADS
from visiontune_storage.domain.alerts import Alert, Limit
from visiontune_storage.domain.quotas import Quota
from visiontune_storage.domain.uploads import State


@dataclass(frozen=True, slots=True)
class Defaults:
    """Limits of a project for which an operator has set none."""

    limit_bytes: int
    limit_objects: int
    limit_pending_uploads: int


class Quotas:
    """See ports.Quotas."""

    def __init__(self, session: AsyncSession, defaults: Defaults) -> None:
        self._session = session
        self._defaults = defaults

    async def get(self, project: str) -> Quota:
        return await self._read(project, lock=False) or Quota(project, **asdict(self._defaults))

    async def lock(self, project: str) -> Quota:
        found = await self._read(project, lock=True)
        if found is None:
            await self._make(project)
            found = await self._read(project, lock=True)
        return found or Quota(project, **asdict(self._defaults))

    async def save(self, quota: Quota) -> None:
        await self._session.execute(
            update(QUOTAS)
            .where(QUOTAS.c.project == quota.project)
            .values(
                used_bytes=quota.used_bytes,
                reserved_bytes=quota.reserved_bytes,
                object_count=quota.object_count,
                alerted=dict(quota.alerted),
            )
        )

    async def projects(self) -> set[str]:
        return set(await self._session.scalars(select(QUOTAS.c.project)))

    async def save_limits(self, quota: Quota, limits: Mapping[str, int | None]) -> None:
        await self._session.execute(
            update(QUOTAS)
            .where(QUOTAS.c.project == quota.project)
            .values({**limits, "limits_version": quota.limits_version})
        )

    async def _read(self, project: str, *, lock: bool) -> Quota | None:
        query = select(QUOTAS).where(QUOTAS.c.project == project)
        if lock:
            query = query.with_for_update()  # SQLite has locked the whole database by then
        row = (await self._session.execute(query)).mappings().first()
        if row is None:
            return None
        values = {name: value for name, value in row.items() if value is not None}
        # Counted, not kept: they are few, and a release that does not know the count keeps none.
        pending = await self._session.scalar(
            select(func.count())
            .select_from(UPLOADS)
            .where(UPLOADS.c.project == project, UPLOADS.c.state == State.PENDING)
        )
        return Quota(**{**asdict(self._defaults), **values, "pending_upload_count": pending})

    async def _make(self, project: str) -> None:
        """Two transactions may both find none: the second one's row is the first one's."""
        dialect = postgresql if self._session.get_bind().dialect.name == "postgresql" else sqlite
        await self._session.execute(
            dialect.insert(QUOTAS)
            .values(project=project, used_bytes=0, reserved_bytes=0, object_count=0, limits_version=0)
            .on_conflict_do_nothing()
        )


class Alerts:
    """See ports.Alerts."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, alerts: Sequence[Alert]) -> None:
        if alerts:
            await self._session.execute(insert(ALERTS), [asdict(each) for each in alerts])

    async def page(self, project: str, after: tuple[datetime, str] | None, limit: int) -> list[Alert]:
        columns = ALERTS.c
        query = select(ALERTS).where(columns.project == project)
        if after:
            at, alert_id = after
            query = query.where(
                or_(columns.created_at < at, and_(columns.created_at == at, columns.id < alert_id))
            )
        rows = await self._session.execute(
            query.order_by(columns.created_at.desc(), columns.id.desc()).limit(limit)
        )
        return [Alert(**{**row, "limit": Limit(row["limit"])}) for row in rows.mappings()]

    async def forget(self, before: datetime) -> None:
        await self._session.execute(delete(ALERTS).where(ALERTS.c.created_at < before))
