"""API keys in SQL."""

from dataclasses import asdict
from datetime import datetime

from sqlalchemy import RowMapping, delete, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession
from visiontune_kit import database

from visiontune_gateway.adapters.tables import API_KEYS
from visiontune_gateway.domain.api_keys import ApiKey


class ApiKeyTable:
    """Implements ports.ApiKeys."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, key: ApiKey) -> None:
        """Writes a new row."""
        await self._session.execute(insert(API_KEYS).values(asdict(key)))

    async def replace_secret(self, key_id: str, secret_sha256: str) -> None:
        """Makes the key's earlier secret void."""
        await self._session.execute(
            update(API_KEYS).where(API_KEYS.c.id == key_id).values(secret_sha256=secret_sha256)
        )

    async def find(self, key_id: str) -> ApiKey | None:
        """Returns the key, whatever its project, or None."""
        rows = await self._session.execute(select(API_KEYS).where(API_KEYS.c.id == key_id))
        row = rows.mappings().one_or_none()
        return None if row is None else _key(row)

    async def page(self, project: str, after: tuple[datetime, str] | None, limit: int) -> list[ApiKey]:
        """Returns keys made before that (time, id), newest first."""
        columns = API_KEYS.c
        query = select(API_KEYS).where(columns.project == project)
        if after is not None:
            query = query.where(tuple_(columns.created_at, columns.id) < after)
        query = query.order_by(columns.created_at.desc(), columns.id.desc()).limit(limit)
        return [_key(row) for row in (await self._session.execute(query)).mappings()]

    async def remove(self, key_id: str) -> None:
        """Deletes the row."""
        await self._session.execute(delete(API_KEYS).where(API_KEYS.c.id == key_id))


class UnitOfWork(database.UnitOfWork):
    """Implements ports.UnitOfWork."""

    keys: ApiKeyTable

    def open(self) -> None:
        """Makes the repository."""
        self.keys = ApiKeyTable(self.session)


def _key(row: RowMapping) -> ApiKey:
    return ApiKey(**row)
