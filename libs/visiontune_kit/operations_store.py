"""The rows of durable operations and every statement on them; `operations` decides when to run which.

A row is *free* (nobody holds it), *held* (a replica works on it) or *settled* (nothing is left to do).
Each claim raises `lease`, the fencing number: a statement of an older claim finds no row. Each sign of
life raises `beat`; who sees the same beat for too long may claim the row.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, cast

from google.longrunning import operations_pb2
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import status_pb2
from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    RowMapping,
    String,
    Table,
    and_,
    delete,
    insert,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.engine import CursorResult
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from visiontune_kit.database import Database, UtcDateTime
from visiontune_kit.errors import Aborted, Cancelled, Failure
from visiontune_kit.status import to_status

T = TypeVar("T")


class LeaseLost(Aborted):
    """Another replica has taken the operation over; what this one does no longer counts."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is no longer this replica's.", resource=name)


class OperationCancelled(Cancelled):
    """Someone cancelled the operation."""

    def __init__(self, name: str) -> None:
        super().__init__("The operation was cancelled on request.", resource=name)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write to one operation, until somebody claims a higher number."""

    name: str
    number: int


@dataclass(frozen=True, slots=True)
class Beat:
    """The last sign of life that a held operation showed."""

    lease: int
    count: int
    holder: str


def table(metadata: MetaData) -> Table:
    """Adds the table of operations to a service's metadata."""
    return Table(
        "operations",
        metadata,
        Column("name", String(400), primary_key=True),
        Column("project", String(63), nullable=False),
        Column("kind", String(100), nullable=False),
        Column("payload", LargeBinary, nullable=False),
        Column("metadata", LargeBinary, nullable=False),  # google.protobuf.Any
        Column("response", LargeBinary),  # google.protobuf.Any
        Column("error", LargeBinary),  # google.rpc.Status
        Column("done", Boolean, nullable=False, default=False),
        Column("settled", Boolean, nullable=False, default=False),  # done, and cleaned up after
        Column("cancel_requested", Boolean, nullable=False, default=False),
        Column("holder", String(200), nullable=False, default=""),  # replica that works on it
        Column("lease", Integer, nullable=False, default=0),
        Column("beat", Integer, nullable=False, default=0),
        Column("crash_count", Integer, nullable=False, default=0),  # holders that fell silent
        Column("failure_count", Integer, nullable=False, default=0),  # tries that raised
        Column("traceparent", String(55), nullable=False, default=""),
        Column("created_at", UtcDateTime, nullable=False),
        Column("finished_at", UtcDateTime),
        Index(None, "project", "created_at"),
        Index(None, "settled", "holder"),
    )


_T = table(MetaData())


async def transact(database: Database, act: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """Runs `act` in a transaction of its own and commits it; a cancellation waits until that is over.

    A driver that is interrupted between two statements may lose the cancellation, or keep its locks.
    """

    async def whole() -> T:
        async with database.session() as session:
            result = await act(session)
            await session.commit()
        return result

    task = asyncio.create_task(whole())
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # none goes unseen
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


async def insert_new(session: AsyncSession, values: dict[str, Any]) -> RowMapping:
    """Inserts an operation and returns its row; a name that exists returns the older row unchanged."""
    try:
        async with session.begin_nested():
            await session.execute(insert(_T).values(values))
    except IntegrityError:
        existing = await find(session, values["name"])
        if existing is None:
            raise
        return existing
    return cast("RowMapping", await find(session, values["name"]))


async def find(session: AsyncSession, name: str) -> RowMapping | None:
    """Returns one row."""
    return (await session.execute(select(_T).where(_T.c.name == name))).mappings().one_or_none()


async def page(
    session: AsyncSession,
    *,
    project: str,
    prefix: str,
    done: bool | None,
    after: tuple[datetime, str] | None,
    limit: int,
) -> Sequence[RowMapping]:
    """Returns up to `limit` rows whose names start with `prefix`, newest first, behind position `after`."""
    query = select(_T).where(_T.c.project == project, _T.c.name.startswith(prefix, autoescape=True))
    if done is not None:
        query = query.where(_T.c.done.is_(done))
    if after is not None:
        at, name = after
        query = query.where(or_(_T.c.created_at < at, and_(_T.c.created_at == at, _T.c.name > name)))
    query = query.order_by(_T.c.created_at.desc(), _T.c.name).limit(limit)
    return (await session.execute(query)).mappings().all()


async def beats(session: AsyncSession, kinds: Collection[str]) -> dict[str, Beat]:
    """Returns the last beat of every held operation, by name."""
    query = select(_T.c.name, _T.c.lease, _T.c.beat, _T.c.holder).where(
        _T.c.settled.is_(False), _T.c.holder != "", _T.c.kind.in_(kinds)
    )
    return {name: Beat(*beat) for name, *beat in (await session.execute(query)).all()}


async def claim(
    session: AsyncSession,
    holder: str,
    *,
    kinds: Collection[str],
    silent: Mapping[str, Beat],
    busy: Collection[str],
    limit: int,
) -> Sequence[RowMapping]:
    """Leases up to `limit` operations, oldest first: free ones, and held ones that are still as in `silent`.

    Those in `busy`, and rows that another replica is claiming or finishing at this moment, are skipped.
    Returns the rows as they are once claimed.
    """
    unchanged = [
        and_(_T.c.name == name, _T.c.lease == seen.lease, _T.c.beat == seen.count)
        for name, seen in silent.items()
    ]
    query = (
        select(_T.c.name, _T.c.holder)
        .where(_T.c.settled.is_(False), _T.c.kind.in_(kinds), _T.c.name.not_in(busy))
        .where(or_(_T.c.holder == "", *unchanged))
        .order_by(_T.c.created_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = (await session.execute(query)).all()
    for name, previous in found:
        crashes = _T.c.crash_count + (1 if previous else 0)
        values = {"holder": holder, "lease": _T.c.lease + 1, "crash_count": crashes}
        await session.execute(update(_T).where(_T.c.name == name).values(values))
    claimed = select(_T).where(_T.c.name.in_([name for name, _ in found]))
    return (await session.execute(claimed)).mappings().all()


async def write(session: AsyncSession, lease: Lease, **values: Any) -> None:
    """Updates a running operation in the caller's transaction; counts as a sign of life.

    Raises LeaseLost when the lease is old or the operation has ended, OperationCancelled when someone
    cancelled it.
    """
    if not await _update(session, lease, _T.c.cancel_requested.is_(False), **values):
        row = await find(session, lease.name)
        if row is not None and row["lease"] == lease.number and not row["done"]:
            raise OperationCancelled(lease.name)
        raise LeaseLost(lease.name)


async def end(session: AsyncSession, lease: Lease, failure: Failure, at: datetime) -> None:
    """Ends the operation with an error, unless it has ended already. Raises LeaseLost for an old lease."""
    error = to_status(failure).SerializeToString()
    if not await _update(session, lease, true(), done=True, error=error, finished_at=at):
        row = await find(session, lease.name)
        if row is None or row["lease"] != lease.number:
            raise LeaseLost(lease.name)


async def settle(session: AsyncSession, lease: Lease) -> None:
    """Records that nothing is left to do. Raises LeaseLost for an old lease."""
    ours = and_(_T.c.name == lease.name, _T.c.lease == lease.number, _T.c.done.is_(True))
    changed = await session.execute(update(_T).where(ours).values(settled=True, holder=""))
    if not _count(changed):
        raise LeaseLost(lease.name)


async def beat(session: AsyncSession, lease: Lease) -> None:
    """Shows a sign of life, during the run and the cleanup after it.

    Raises LeaseLost for an old lease, OperationCancelled when a running operation was cancelled.
    """
    ours = and_(_T.c.name == lease.name, _T.c.lease == lease.number)
    query = update(_T).where(ours).values(beat=_T.c.beat + 1).returning(_T.c.done, _T.c.cancel_requested)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise LeaseLost(lease.name)
    if row.cancel_requested and not row.done:
        raise OperationCancelled(lease.name)


async def unsettled(session: AsyncSession, project: str, prefix: str) -> Sequence[str]:
    """Returns the names with that prefix whose work, cleanup included, is not over."""
    query = select(_T.c.name).where(_T.c.project == project, _T.c.settled.is_(False))
    return (await session.execute(query.where(_T.c.name.startswith(prefix, autoescape=True)))).scalars().all()


async def running(session: AsyncSession, project: str, kind: str) -> Sequence[bytes]:
    """Returns the payloads of those of a kind that have not ended."""
    query = select(_T.c.payload).where(_T.c.project == project, _T.c.done.is_(False), _T.c.kind == kind)
    return (await session.execute(query)).scalars().all()


async def release(session: AsyncSession, holder: str) -> None:
    """Frees everything that a replica holds."""
    await session.execute(update(_T).where(_T.c.holder == holder).values(holder=""))


async def cancel(session: AsyncSession, name: str, at: datetime) -> None:
    """Ends a free operation, asks the holder of a held one to stop, leaves one that is done alone."""
    error = to_status(OperationCancelled(name)).SerializeToString()
    running = and_(_T.c.name == name, _T.c.done.is_(False))
    asked = {"cancel_requested": True}
    ended = asked | {"done": True, "error": error, "finished_at": at}
    if not _count(await session.execute(update(_T).where(running, _T.c.holder == "").values(ended))):
        await session.execute(update(_T).where(running).values(asked))


async def remove(session: AsyncSession, name: str) -> bool:
    """Deletes a settled operation; False when there is none of that name that is settled."""
    query = delete(_T).where(_T.c.name == name, _T.c.settled.is_(True))
    return _count(await session.execute(query)) > 0


async def sweep(session: AsyncSession, before: datetime) -> int:
    """Deletes settled operations that ended before a moment; returns how many."""
    return _count(await session.execute(delete(_T).where(_T.c.settled.is_(True), _T.c.finished_at < before)))


def pack(message: Message) -> bytes:
    """Returns a message as a serialised google.protobuf.Any."""
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed.SerializeToString()


def operation(row: RowMapping) -> operations_pb2.Operation:
    """Returns the resource that a row describes."""
    result = operations_pb2.Operation(name=row["name"], done=row["done"])
    result.metadata.ParseFromString(row["metadata"])
    if row["response"] is not None:
        result.response.ParseFromString(row["response"])
    elif row["error"] is not None:
        result.error.CopyFrom(status_pb2.Status.FromString(row["error"]))
    return result


async def _update(session: AsyncSession, lease: Lease, also: Any, **values: Any) -> bool:
    ours = and_(_T.c.name == lease.name, _T.c.lease == lease.number, _T.c.done.is_(False), also)
    changed = await session.execute(update(_T).where(ours).values(values | {"beat": _T.c.beat + 1}))
    return _count(changed) > 0


def _count(result: Any) -> int:
    return cast("CursorResult[Any]", result).rowcount
