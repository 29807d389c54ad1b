"""SQLite connections that answer a statement in one hop to their thread.

aiosqlite hops once each for cursor, execute, fetch and close, and a hop costs more than a small
statement. Here the four are one function call in the connection's thread, which begins the transaction too,
and nobody waits for a rollback.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import aiosqlite

BUSY_TIMEOUT_S = 30.0


class Connection(aiosqlite.Connection):
    """Like its parent; its cursors hold a whole result."""

    _begin = ""

    def begin(self, sql: str) -> None:
        """Has the next statement begin a transaction: one that never comes needs none."""
        self._begin = sql

    async def commit(self) -> None:
        """Makes what was written durable."""
        if not self._take_begin():
            await super().commit()

    async def rollback(self) -> None:
        """Undoes what was written, before whatever this connection is asked next."""
        if not self._take_begin():
            self._tx.put_nowait((None, self._conn.rollback))

    async def cursor(self) -> "Cursor":  # type: ignore[override]  # awaitable, which is all SQLAlchemy asks
        """Returns a cursor; nothing happens in the thread yet."""
        return Cursor(self)

    async def in_thread(self, function: Any, *arguments: Any) -> Any:
        """Runs a function in the connection's thread."""
        return await self._execute(function, *arguments)  # type: ignore[no-untyped-call]

    def new_cursor(self) -> sqlite3.Cursor:
        """A cursor of the connection itself, in the transaction; for its thread."""
        cursor = self._conn.cursor()
        if begin := self._take_begin():
            cursor.execute(begin)
        return cursor

    def _take_begin(self) -> str:
        begin, self._begin = self._begin, ""
        return begin


class Cursor:
    """The part of a cursor that SQLAlchemy's aiosqlite dialect uses."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.lastrowid: int | None = None
        self.rowcount = -1

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Executes one statement and fetches its rows."""
        await self._connection.in_thread(self._run, sqlite3.Cursor.execute, sql, parameters)

    async def executemany(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        """Executes one statement for each row of parameters."""
        await self._connection.in_thread(self._run, sqlite3.Cursor.executemany, sql, parameters)

    async def fetchall(self) -> list[Any]:
        """Returns the rows."""
        return self._rows

    async def close(self) -> None:
        """Nothing is open."""

    def _run(self, execute: Any, sql: str, parameters: Any) -> None:
        cursor = self._connection.new_cursor()
        try:
            execute(cursor, sql, parameters)
            self._rows = cursor.fetchall() if cursor.description else []
            self.description, self.lastrowid = cursor.description, cursor.lastrowid
            self.rowcount = cursor.rowcount
        finally:
            cursor.close()


def connect(path: str) -> Connection:
    """Returns an unopened connection to the file at `path`; awaiting it opens it."""
    connection = Connection(
        lambda: sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None), iter_chunk_size=64
    )
    connection._thread.daemon = True  # noqa: SLF001 - as SQLAlchemy does: no thread outlives the program
    return connection
