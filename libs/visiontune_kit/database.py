"""Sessions and transactions on SQLite (embedded) and PostgreSQL (production), by the same code."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any, Self

from sqlalchemy import DateTime, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator

from visiontune_kit import sqlite

# Constraint names that are the same in both databases, so that migrations can name them.
NAMING = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

IDLE_TRANSACTION_MS = "60000"


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC datetimes in and out; SQLite keeps no zone of its own."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuses naive datetimes with ValueError and converts the others to UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive datetime {value!r}; pass an aware one")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Gives SQLite's naive values their zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Database:
    """One engine and the transactions on it."""

    def __init__(self, engine: AsyncEngine, turn: AbstractAsyncContextManager[None] | None = None) -> None:
        self.engine = engine
        # SQLite lets one transaction write at a time and makes the others sleep and ask again. Taking
        # turns here wakes the next one at once; only another process can still keep it waiting.
        self._turn = turn or nullcontext()
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    @classmethod
    def open(cls, url: str) -> Self:
        """Opens `sqlite+aiosqlite:///path` or `postgresql+asyncpg://…`; connects on first use."""
        if url.startswith("sqlite"):
            path = make_url(url).database or ":memory:"
            engine = create_async_engine(url, async_creator=lambda: sqlite.connect(path))
            event.listen(engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(engine.sync_engine, "begin", _begin_immediate)
            return cls(engine, turn=asyncio.Lock())
        # A replica that is frozen in a transaction gives its row locks back.
        given_up = {"idle_in_transaction_session_timeout": IDLE_TRANSACTION_MS}
        return cls(
            create_async_engine(
                url,
                pool_pre_ping=True,
                pool_size=10,
                max_overflow=10,
                connect_args={"server_settings": given_up},
            )
        )

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """Yields a session in a transaction that is rolled back unless it is committed.

        On SQLite the transaction takes the write lock at its start (BEGIN IMMEDIATE): a reader that
        turns writer would otherwise fail instead of waiting. So a task must not open one inside another.
        """
        async with self._turn, self._sessions() as session:
            yield session

    async def close(self) -> None:
        """Closes every connection."""
        await self.engine.dispose()


class UnitOfWork:
    """One transaction; services subclass it and add their repositories in `open`.

    Leaving it without `commit` rolls back.
    """

    session: AsyncSession

    def __init__(self, database: Database) -> None:
        self._context = database.session()

    async def __aenter__(self) -> Self:
        self.session = await self._context.__aenter__()
        self.open()
        return self

    async def __aexit__(self, *exception: Any) -> None:
        await self._context.__aexit__(*exception)

    def open(self) -> None:
        """Called with `session` set: makes the repositories."""

    async def commit(self) -> None:
        """Makes everything since the start visible at once."""
        await self.session.commit()


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_immediate(connection: Any) -> None:
    connection.connection.driver_connection.begin("BEGIN IMMEDIATE")
