"""What is kept, and was kept, on SQLAlchemy Core."""

# ruff: noqa: D102 - ports.py states what each method promises

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import case, delete, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from visiontune_storage.adapters.tables import OBJECTS, SAMPLES
from visiontune_storage.domain.usage import COLLECTIONS, Kept, OwnerKind, Sample


class Usages:
    """See ports.Usages."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def kept(self, project: str) -> list[Kept]:
        columns = OBJECTS.c
        rows = await self._session.execute(
            select(columns.owner, func.sum(columns.size_bytes), func.count())
            .where(columns.project == project)
            .group_by(columns.owner)
        )
        return [Kept(owner, int(size_bytes), count) for owner, size_bytes, count in rows]

    async def sample(self, hour: datetime) -> None:
        taken = await self._session.scalar(select(SAMPLES.c.hour).where(SAMPLES.c.hour == hour).limit(1))
        if taken is not None:
            return
        columns = OBJECTS.c
        prefix = literal("projects/").concat(columns.project)
        kind = case(
            *(
                (columns.owner.startswith(prefix.concat(f"/{name}/")), literal(kind.value))
                for name, kind in COLLECTIONS.items()
            ),
            else_=literal(OwnerKind.OTHER.value),
        ).label("kind")
        rows = await self._session.execute(
            select(
                columns.project,
                kind,
                func.sum(columns.size_bytes).label("size"),
                func.count().label("objects"),
            ).group_by(columns.project, kind)
        )
        await self._insert(
            Sample(row.project, hour, OwnerKind(row.kind), int(row.size), row.objects) for row in rows.all()
        )

    async def between(self, project: str, start: datetime, end: datetime) -> list[Sample]:
        columns = SAMPLES.c
        rows = await self._session.execute(
            select(SAMPLES)
            .where(columns.project == project, columns.hour >= start, columns.hour < end)
            .order_by(columns.hour)
        )
        return [Sample(**{**row, "kind": OwnerKind(row["kind"])}) for row in rows.mappings()]

    async def forget(self, before: datetime) -> None:
        await self._session.execute(delete(SAMPLES).where(SAMPLES.c.hour < before))

    async def _insert(self, samples: Iterable[Sample]) -> None:
        """Two replicas may count the same hour: the first one's count stays."""
        values = [asdict(each) for each in samples]
        if values:
            dialect = postgresql if self._session.get_bind().dialect.name == "postgresql" else sqlite
            await self._session.execute(dialect.insert(SAMPLES).on_conflict_do_nothing(), values)
