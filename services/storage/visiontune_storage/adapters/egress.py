"""What the object store sent, on SQLAlchemy Core."""

# ruff: noqa: D102 - ports.py states what each method promises

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from visiontune_storage.adapters.tables import COUNTERS, EGRESS
from visiontune_storage.domain.egress import EgressHour


class EgressCounts:
    """See ports.EgressCounts."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def counters(self) -> Mapping[str, int]:
        rows = await self._session.execute(select(COUNTERS.c.page, COUNTERS.c.value))
        return {row.page: row.value for row in rows}

    async def move(self, page: str, before: int | None, now: int) -> bool:
        if before is None:
            statement = self._insert(COUNTERS).values(page=page, value=now).on_conflict_do_nothing()
        else:
            statement = (
                update(COUNTERS).where(COUNTERS.c.page == page, COUNTERS.c.value == before).values(value=now)
            )
        moved: Any = await self._session.execute(statement)
        return bool(moved.rowcount)

    async def add(self, each: EgressHour) -> None:
        columns = EGRESS.c
        new = self._insert(EGRESS).values(
            hour=each.hour, sent_bytes=each.sent_bytes, own_bytes=each.own_bytes
        )
        more = {
            "sent_bytes": columns.sent_bytes + new.excluded.sent_bytes,
            "own_bytes": columns.own_bytes + new.excluded.own_bytes,
        }
        await self._session.execute(new.on_conflict_do_update(index_elements=[columns.hour], set_=more))

    async def between(self, start: datetime, end: datetime) -> list[EgressHour]:
        columns = EGRESS.c
        rows = await self._session.execute(
            select(EGRESS).where(columns.hour >= start, columns.hour < end).order_by(columns.hour)
        )
        return [EgressHour(**row) for row in rows.mappings()]

    async def forget(self, before: datetime) -> None:
        await self._session.execute(delete(EGRESS).where(EGRESS.c.hour < before))

    def _insert(self, table: Any) -> Any:
        dialect = postgresql if self._session.get_bind().dialect.name == "postgresql" else sqlite
        return dialect.insert(table)
