"""Sessions and transactions on SQLite (embedded) and PostgreSQL (production), by the same code."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any, Self

from sqlalchemy import DateTime, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator

from visiontune_kit import logs, sqlite
from visiontune_kit.errors import InvalidArgument, Unavailable

# Constraint names that are the same in both databases, so that migrations can name them.
NAMING = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

IDLE_TRANSACTION_MS = "60000"
CONNECT_TIMEOUT_S = 10.0
# Asks after 15 s of silence, then each 5 s; what was sent is to be taken within 30 s (tcp(7)).
_KEEPALIVE = {
    socket.TCP_KEEPIDLE: 15,
    socket.TCP_KEEPINTVL: 5,
    socket.TCP_KEEPCNT: 3,
    socket.TCP_USER_TIMEOUT: 30_000,
}
# Connection failures; a limit of connections; a server that starts, stops, crashes or is somebody's standby;
# a transaction that was idle for too long: https://www.postgresql.org/docs/current/errcodes-appendix.html
_AWAY = ("08", "53300", "57P", "25006", "25P03")
# What the driver refuses to send, a text that is too long, a number out of range, a character of no text.
_UNFIT = ("22000", "22001", "22003", "22021")

log = logs.get(__name__)


class DatabaseUnavailable(Unavailable):
    """The database of this service is away, or has no connection left."""

    def __init__(self) -> None:
        super().__init__("The database of this service does not answer. Call again in a few seconds.")


class ValueUnfit(InvalidArgument):
    """The database cannot hold or look for a value of the request, which no rule of the proto forbids."""

    def __init__(self) -> None:
        super().__init__(
            "The request has a text with a NUL character or a number that is out of range. Send it without."
        )


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
    def open(cls, url: str, connections: int = 10) -> Self:
        """Opens `sqlite+aiosqlite:///path` or `postgresql+asyncpg://…`; connects on first use.

        connections: the most of PostgreSQL that are open at once.
        """
        if url.startswith("sqlite"):
            path = make_url(url).database or ":memory:"
            engine = create_async_engine(url, async_creator=lambda: sqlite.connect(path))
            event.listen(engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(engine.sync_engine, "begin", _begin_immediate)
            return cls(engine, turn=asyncio.Lock())
        # A replica that is frozen in a transaction gives its row locks back.
        given_up = {"idle_in_transaction_session_timeout": IDLE_TRANSACTION_MS}
        engine = create_async_engine(
            url,
            pool_pre_ping=True,
            pool_size=connections,
            max_overflow=0,
            connect_args={"server_settings": given_up, "timeout": CONNECT_TIMEOUT_S},
        )
        event.listen(engine.sync_engine, "connect", _notice_a_lost_server)
        return cls(engine)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """Yields a session in a transaction that is rolled back unless it is committed.

        On SQLite the transaction takes the write lock at its start (BEGIN IMMEDIATE): a reader that
        turns writer would otherwise fail instead of waiting. So a task must not open one inside another.
        On PostgreSQL that would wait for a connection which the task itself holds.

        Raises DatabaseUnavailable, of whatever happens inside, when the database is away, and ValueUnfit
        for a value that it refuses.
        """
        try:
            async with self._turn, self._sessions() as session:
                yield session
        except Exception as error:
            if is_away(error):
                log.warning("database_unavailable", error=repr(error))
                raise DatabaseUnavailable from error
            if is_unfit(error):
                raise ValueUnfit from error
            raise

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


def is_away(error: Exception) -> bool:
    """True for what a call fails with while PostgreSQL is away, as the driver or SQLAlchemy raises it.

    An OSError is the connection's, since nothing else is read or written inside a transaction.
    """
    if isinstance(error, OSError | NoConnectionFree):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return _state(error).startswith(_AWAY)


def is_unfit(error: Exception) -> bool:
    """True for what a statement fails with when the database refuses a value; SQLite's driver overflows."""
    return isinstance(error, OverflowError) or _state(error).startswith(_UNFIT)


def _state(error: Exception) -> str:
    """PostgreSQL's five characters for an error; empty when it has none."""
    return getattr(getattr(error, "orig", error), "sqlstate", None) or ""


def _notice_a_lost_server(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    """Ends the wait for a server that vanished without a word after 30 s; it would last for ever."""
    driver = connection.driver_connection
    raw = driver._transport.get_extra_info("socket")  # noqa: SLF001 - asyncpg has no option for it
    if raw.family in {socket.AF_INET, socket.AF_INET6}:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE.items():
            raw.setsockopt(socket.IPPROTO_TCP, option, value)


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_immediate(connection: Any) -> None:
    connection.connection.driver_connection.begin("BEGIN IMMEDIATE")
