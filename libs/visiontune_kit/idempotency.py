"""A repeated `request_id` gets the first answer, and cannot make a second resource.

Two parts work together. `new_id` derives the ids of new resources from the request, so that a retry
after a crash meets the row that the first try committed. The table keeps the answers for 24 hours,
makes a duplicate in flight wait, and refuses an id that comes back with another body (AIP-155).
"""

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Collection
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta

from google.protobuf.message import Message
from sqlalchemy import (
    Column,
    ColumnElement,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from visiontune_kit.clock import Clock, SystemClock
from visiontune_kit.database import Database, UtcDateTime
from visiontune_kit.errors import InvalidArgument, Unavailable, Violation

_KEEP = timedelta(hours=24)
# A call that has shown no sign of life for so long died with its server; the next one takes over. Should
# it live after all, behind a frozen process or a late clock, derived ids let both make the same resource.
_IN_FLIGHT = timedelta(seconds=15)
_RENEW_EVERY_S = 5.0
_WAIT_S = 10.0
_POLL_S = 0.05


class RequestIdReused(InvalidArgument):
    """The same id came with another body."""

    def __init__(self) -> None:
        message = "request_id was used for another request. Take a new UUID4 for each new request."
        super().__init__(message, violations=[Violation("request_id", message, "RequestIdReused")])


class RequestInFlight(Unavailable):
    """The first call with this id is still running."""

    def __init__(self) -> None:
        super().__init__("The first call with this request_id is still running. Retry with the same id.")


@dataclass(slots=True, unsafe_hash=True)
class _Key:
    """One request by one principal."""

    principal: str
    method: str
    request_id: str
    ids: int = field(default=0, compare=False)  # ids derived from it so far


_current: ContextVar[_Key | None] = ContextVar("idempotency_key", default=None)


def new_id(prefix: str) -> str:
    """Returns `<prefix>-` and 16 characters: derived from the request_id of the running call, else random.

    The n-th id of a repeated request equals the n-th of the first.
    """
    key = _current.get()
    if key is None:
        entropy = secrets.token_bytes(10)
    else:
        key.ids += 1
        text = "\0".join((key.principal, key.method, key.request_id, str(key.ids)))
        entropy = hashlib.sha256(text.encode()).digest()[:10]
    return f"{prefix}-{base64.b32encode(entropy).decode().lower()}"


def table(metadata: MetaData) -> Table:
    """Adds the table of requests to a service's schema."""
    return Table(
        "requests",
        metadata,
        Column("principal", String(200), primary_key=True),
        Column("method", String(200), primary_key=True),
        Column("request_id", String(36), primary_key=True),
        Column("digest", String(64), nullable=False),
        Column("answer", LargeBinary, nullable=True),
        Column("create_time", UtcDateTime, nullable=False, index=True),
    )


class Requests:
    """The table at work."""

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()
        self._table = table(MetaData())
        self._running: set[_Key] = set()  # that this replica works on
        self._failed: set[_Key] = set()  # whose rows are still there, since the database was away

    async def begin(self, principal: str, method: str, request: Message) -> bytes | None:
        """Returns the stored answer, or None when the caller is to do the work.

        Raises RequestIdReused for another body, RequestInFlight when the first call does not end.
        """
        key = _Key(principal, method, _request_id(request))
        digest = _digest(request)
        for _ in range(int(_WAIT_S / _POLL_S)):
            state = await self._claim(key, digest)
            if state is None:
                self._running.add(key)
                _current.set(key)
                return None
            if state.answer is not None:
                return state.answer
            await asyncio.sleep(_POLL_S)
        raise RequestInFlight

    async def succeed(self, answer: Message) -> None:
        """Stores the answer of the running request."""
        key = _current.get()
        if key is None:
            return
        self._running.discard(key)
        async with self._database.session() as session:
            await session.execute(
                update(self._table).where(*self._matches(key)).values(answer=answer.SerializeToString())
            )
            await session.commit()

    async def fail(self) -> None:
        """Forgets the running request, so that a retry does the work."""
        key = _current.get()
        if key is None:
            return
        self._running.discard(key)
        self._failed.add(key)
        async with self._database.session() as session:
            await session.execute(
                delete(self._table).where(*self._matches(key), self._table.c.answer.is_(None))
            )
            await session.commit()
        self._failed.discard(key)

    async def renew_for_ever(self) -> None:
        """Shows every few seconds that the calls of this replica are alive; most end before that."""
        while True:
            known = frozenset(self._running)
            await asyncio.sleep(_RENEW_EVERY_S)
            await self.renew(known & self._running)

    async def renew(self, keys: Collection[_Key]) -> None:
        """Shows a sign of life of these."""
        if not keys:
            return
        now = self._clock.now()
        async with self._database.session() as session:
            for key in keys:
                await session.execute(
                    update(self._table)
                    .where(*self._matches(key), self._table.c.answer.is_(None))
                    .values(create_time=now)
                )
            await session.commit()

    async def sweep(self) -> None:
        """Deletes what is older than 24 hours."""
        self._failed.clear()  # a minute is enough for them
        async with self._database.session() as session:
            await session.execute(
                delete(self._table).where(self._table.c.create_time < self._clock.now() - _KEEP)
            )
            await session.commit()

    async def _claim(self, key: _Key, digest: str) -> "_Found | None":
        now = self._clock.now()
        async with self._database.session() as session:
            row = (await session.execute(select(self._table).where(*self._matches(key)))).one_or_none()
            if row is not None:
                if row.digest != digest:
                    raise RequestIdReused
                runs = row.create_time > now - _IN_FLIGHT and key not in self._failed
                if row.answer is not None or runs:
                    return _Found(row.answer)
                await session.execute(delete(self._table).where(*self._matches(key)))
            try:
                await session.execute(
                    insert(self._table).values(
                        principal=key.principal,
                        method=key.method,
                        request_id=key.request_id,
                        digest=digest,
                        create_time=now,
                    )
                )
                await session.commit()
            except IntegrityError:
                return _Found(None)
        self._failed.discard(key)
        return None

    def _matches(self, key: _Key) -> tuple[ColumnElement[bool], ...]:
        columns = self._table.c
        return (
            columns.principal == key.principal,
            columns.method == key.method,
            columns.request_id == key.request_id,
        )


@dataclass(frozen=True, slots=True)
class _Found:
    answer: bytes | None  # None while the first call runs


def wants(request: Message) -> bool:
    """Tells whether `request` carries a request_id."""
    return bool(_request_id(request))


def _request_id(request: Message) -> str:
    return str(getattr(request, "request_id", ""))


def _digest(request: Message) -> str:
    plain = type(request)()
    plain.CopyFrom(request)
    plain.ClearField("request_id")
    return hashlib.sha256(plain.SerializeToString(deterministic=True)).hexdigest()
