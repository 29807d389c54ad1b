"""Slow work that survives the death of the server that does it, behind google.longrunning.Operations.

An operation is a row, written in the transaction that answers the caller. A replica leases it, calls the
handler of its kind from the start, and shows signs of life while the handler runs. A replica that falls
silent for `lease_s` loses it to another; what the old one then does meets the fence and changes nothing.
Silence is measured on the watcher's own monotonic clock, so clocks that differ or jump do no harm.
"""

import asyncio
import contextlib
import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from google.longrunning import operations_pb2
from google.protobuf.message import Message
from opentelemetry.trace import SpanKind
from sqlalchemy import RowMapping, event
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from visiontune_kit import faults, logs, operations_rpc, telemetry
from visiontune_kit import operations_store as store
from visiontune_kit.clock import Clock, SystemClock
from visiontune_kit.database import Database
from visiontune_kit.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    Failure,
    Internal,
    NotFound,
    Unavailable,
)
from visiontune_kit.operations_store import Beat, Lease, LeaseLost, OperationCancelled, table

__all__ = ["LeaseLost", "OperationCancelled", "Operations", "Run", "table"]

POLL_S = 1.0  # how late a free operation of another replica may be noticed
KEEP = timedelta(days=30)
SWEEP_EVERY_S = 3600.0
MOST_CRASHES = 10  # more replicas than this died over it: it kills them
MOST_RETRIES = 3
MOST_TRANSIENT_RETRIES = 8  # about 75 s: another service may be restarting
MOST_BACKOFF_S = 15.0
TRANSIENT = (Unavailable, DeadlineExceeded, OperationalError, InterfaceError)
_DATABASE_ERRORS = (SQLAlchemyError, OSError)
_log = logs.get(__name__)


class OperationNotFound(NotFound):
    """No operation of that name, or none any more."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no operation {name}.", resource=name)


class OperationRunning(FailedPrecondition):
    """Only an operation that has ended can be deleted."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} has not ended. Cancel it first, or wait.", resource=name)


class OperationFailed(Internal):
    """The handler raised something unexpected, or its replicas died, too often."""

    def __init__(self, name: str, error_id: str) -> None:
        super().__init__(
            f"The operation failed for an internal reason. The logs have it under {error_id}.",
            metadata={"error_id": error_id},
            resource=name,
        )


@dataclass(slots=True)
class Run:
    """One try at an operation, as its handler sees it.

    restart_count is the number of tries before this one; each try begins at the start.
    """

    name: str
    kind: str
    payload: bytes
    project: str
    restart_count: int
    _lease: Lease = field(repr=False)
    _operations: "Operations" = field(repr=False)

    async def progress(self, metadata: Message) -> None:
        """Stores the operation's metadata for pollers, in a transaction of its own.

        Call it outside of any transaction: on SQLite it would wait for that one for ever.
        Raises LeaseLost when another replica took over, OperationCancelled when it was cancelled.
        """
        await self._operations.write(self._lease, metadata=store.pack(metadata))

    async def finish(self, session: AsyncSession, response: Message, metadata: Message | None = None) -> None:
        """Ends the operation well in the caller's transaction, which then holds the effect and the answer.

        Raises LeaseLost or OperationCancelled, as `progress` does; the caller then must not commit.
        """
        values = {"response": store.pack(response), "done": True, "finished_at": self._operations.clock.now()}
        if metadata is not None:
            values["metadata"] = store.pack(metadata)
        await store.write(session, self._lease, **values)


Handler = Callable[[Run], Awaitable[None]]


class Operations:
    """The operations of one service on one database, and the loop that runs them.

    handlers: by kind. A handler ends its operation by `Run.finish`. One that raises errors.Failure ends it
    with that status, but Unavailable and DeadlineExceeded are first retried for about a minute. Anything else
    is retried three times, then ends it with INTERNAL and an id that the log carries. A handler is cancelled
    (asyncio) when the operation is cancelled, when the lease is lost, and when the server stops; it must give
    back what it holds and raise on, and must not block the event loop for long.
    cleanups: by kind, optional. Called after the end, however the operation ended, even if no handler ever ran,
    until it returns once without an exception. So it may run more than once, and never while the handler runs.
    lease_s: how long a replica may be silent. concurrency: how many operations this replica runs at once.
    """

    def __init__(
        self,
        database: Database,
        handlers: Mapping[str, Handler],
        clock: Clock | None = None,
        lease_s: float = 10.0,
        concurrency: int = 1,
        cleanups: Mapping[str, Handler] | None = None,
    ) -> None:
        self.database = database
        self.clock = clock or SystemClock()
        self._handlers = dict(handlers)
        self._cleanups = dict(cleanups or {})
        self._lease_s = lease_s
        self._concurrency = concurrency
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"[-200:]
        self._seen: dict[str, tuple[Beat, float]] = {}  # name: what it showed, since when (monotonic)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cleaning: set[str] = set()  # of those, the ones that need no slot any more
        self._changed = asyncio.Event()
        self._stopped = False

    async def create(
        self, session: AsyncSession, *, name: str, kind: str, payload: bytes, metadata: Message
    ) -> operations_pb2.Operation:
        """Writes an operation in the caller's transaction; it starts once that commits.

        name: `projects/{project}/…/operations/{id}`. A name that exists returns the older operation.
        """
        if kind not in self._handlers:
            raise ValueError(f"no handler for operations of kind {kind!r}")
        row = await store.insert_new(
            session,
            {
                "name": name,
                "project": _project(name),
                "kind": kind,
                "payload": payload,
                "metadata": store.pack(metadata),
                "traceparent": telemetry.current_traceparent(),
                "created_at": self.clock.now(),
            },
        )
        event.listen(session.sync_session, "after_commit", lambda _session: self._notify(), once=True)
        return store.operation(row)

    async def get(self, name: str) -> operations_pb2.Operation:
        """Returns an operation as it is now. Raises OperationNotFound."""
        return store.operation(await self._row(name))

    async def wait(self, name: str, timeout_s: float) -> operations_pb2.Operation:
        """Returns the operation once it is done, the time is up or this server stops."""
        ends_at = _now() + timeout_s
        while True:
            changed = self._changed
            row = await self._row(name)
            left = ends_at - _now()
            if row["done"] or left <= 0 or self._stopped:
                return store.operation(row)
            await _pause(changed, min(left, POLL_S))

    async def cancel(self, name: str) -> None:
        """Asks an operation to stop. It then ends with CANCELLED unless it had ended before."""
        await self._row(name)
        async with self.database.session() as session:
            await store.cancel(session, name, self.clock.now())
            await session.commit()
        self._notify()

    async def delete(self, name: str) -> None:
        """Forgets an operation that has ended. Raises OperationRunning, OperationNotFound."""
        await self._row(name)
        async with self.database.session() as session:
            if not await store.remove(session, name):
                raise OperationRunning(name)
            await session.commit()

    def servicer(self) -> operations_rpc.Servicer:
        """Returns google.longrunning.Operations on these operations."""
        return operations_rpc.Servicer(self)

    async def unsettled(self, session: AsyncSession, parent: str) -> Sequence[str]:
        """Returns, in the caller's transaction, the operations under `parent` that still work or clean up."""
        return await store.unsettled(session, _project(parent), f"{parent}/")

    async def run(self) -> None:
        """Runs operations until it is cancelled; then stops the handlers and frees what this replica holds."""
        sweeps_at = _now()
        try:
            while True:
                changed = self._changed
                try:
                    await self._take()
                    if _now() >= sweeps_at:
                        await self._sweep()
                        sweeps_at = _now() + SWEEP_EVERY_S
                except _DATABASE_ERRORS as error:
                    _log.warning("operations_not_polled", error=str(error))
                await _pause(changed, min(POLL_S, self._lease_s / 3))
        finally:
            self._stopped = True
            self._notify()
            await self._stop()

    async def write(self, lease: Lease, **values: object) -> None:
        """Updates a running operation, or only shows a sign of life. Raises LeaseLost, OperationCancelled."""
        async with self.database.session() as session:
            await store.write(session, lease, **values)
            await session.commit()

    async def _row(self, name: str) -> RowMapping:
        async with self.database.session() as session:
            row = await store.find(session, name)
        if row is None:
            raise OperationNotFound(name)
        return row

    async def _take(self) -> None:
        """Leases as many operations as there are free slots, and starts them."""
        free = self._concurrency - len(self._tasks.keys() - self._cleaning)
        if free <= 0:
            return
        async with self.database.session() as session:
            beats = await store.beats(session, self._handlers)
            silent = self._silent({name: beat for name, beat in beats.items() if name not in self._tasks})
            rows = await store.claim(
                session, self._holder, kinds=self._handlers, silent=silent, busy=list(self._tasks), limit=free
            )
            await session.commit()
        for row in rows:
            faults.point("operations.claimed")
            self._tasks[row["name"]] = asyncio.create_task(self._work(row))

    def _silent(self, beats: Mapping[str, Beat]) -> dict[str, Beat]:
        """Returns those that have shown the same beat for `lease_s`, and remembers what the others showed."""
        now = _now()
        before = self._seen
        self._seen = {
            name: before[name] if name in before and before[name][0] == beat else (beat, now)
            for name, beat in beats.items()
        }
        return {name: beat for name, (beat, since) in self._seen.items() if now - since >= self._lease_s}

    async def _work(self, row: RowMapping) -> None:
        """Brings one leased operation to its end, and cleans up after it."""
        lease = Lease(row["name"], row["lease"])
        log = _log.bind(operation=lease.name, kind=row["kind"], lease=lease.number)
        try:
            if not row["done"]:
                await self._finish(row, lease)
                self._notify()
            faults.point("operations.finished")
            await self._clean(row, lease)
        except LeaseLost:
            log.warning("operation_lost")
        except _DATABASE_ERRORS as error:
            # The row stays held and silent, so it is taken over like a dead replica's.
            log.warning("operation_abandoned", error=str(error))
        finally:
            self._cleaning.discard(lease.name)
            del self._tasks[lease.name]
            self._notify()

    async def _finish(self, row: RowMapping, lease: Lease) -> None:
        """Tries until the operation has ended."""
        failures = row["failure_count"]
        if row["cancel_requested"]:
            return await self._end(lease, OperationCancelled(lease.name))
        if row["crash_count"] > MOST_CRASHES:
            return await self._give_up(lease, None, crash_count=row["crash_count"])
        while True:
            try:
                return await self._try(row, lease, failures)
            except LeaseLost:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a handler raises is retried or reported
                failures += 1
                if failures > _most_retries(error):
                    if isinstance(error, Failure):
                        return await self._end(lease, error)
                    return await self._give_up(lease, error, failure_count=failures)
                delay_s = min(2.0 ** (failures - 1), MOST_BACKOFF_S)
                _log.warning("operation_retried", operation=lease.name, delay_s=delay_s, exc_info=error)
            try:
                await self.write(lease, failure_count=failures)
                await self._alive(lease, asyncio.sleep(delay_s))
            except OperationCancelled as failure:
                return await self._end(lease, failure)

    async def _try(self, row: RowMapping, lease: Lease, failures: int) -> None:
        """Calls the handler once, in the trace of whoever created the operation. Raises what it raises."""
        restarts = row["lease"] - 1 + failures
        run = Run(row["name"], row["kind"], row["payload"], row["project"], restarts, lease, self)
        with telemetry.tracer().start_as_current_span(
            f"operation {row['kind']}",
            context=telemetry.extract({"traceparent": row["traceparent"]}),
            kind=SpanKind.CONSUMER,
            attributes={"visiontune.operation": run.name, "visiontune.restart_count": restarts},
        ):
            _log.info("operation_started", operation=run.name, restart_count=restarts)
            await self._alive(lease, self._handlers[row["kind"]](run))
            if not (await self._row(run.name))["done"]:
                raise RuntimeError(f"the handler of {row['kind']!r} returned without finish and commit")
            _log.info("operation_finished", operation=run.name)

    async def _alive(self, lease: Lease, work: Awaitable[None]) -> None:
        """Awaits `work` while showing signs of life; cancels it when the lease or the wish for it is gone."""
        working = asyncio.ensure_future(work)
        beating = asyncio.create_task(self._beat(lease))
        try:
            await asyncio.wait({working, beating}, return_when=asyncio.FIRST_COMPLETED)
            first = working if working.done() else beating
        finally:
            working.cancel()
            beating.cancel()
            await asyncio.gather(working, beating, return_exceptions=True)
        if first.cancelled():
            raise RuntimeError("the handler cancelled itself")
        first.result()

    async def _beat(self, lease: Lease) -> None:
        """Shows a sign of life three times in each `lease_s`, until the operation is lost or cancelled."""
        while True:
            await _pause(self._changed, self._lease_s / 3)
            try:
                async with self.database.session() as session:
                    await store.beat(session, lease)
                    await session.commit()
            except _DATABASE_ERRORS as error:
                _log.warning("heartbeat_failed", operation=lease.name, error=str(error))

    async def _clean(self, row: RowMapping, lease: Lease) -> None:
        """Calls the kind's cleanup until it succeeds, then settles the operation."""
        cleanup = self._cleanups.get(row["kind"])
        self._cleaning.add(lease.name)
        run = Run(row["name"], row["kind"], row["payload"], row["project"], 0, lease, self)
        delay_s = 1.0
        while cleanup is not None:
            try:
                await self._alive(lease, cleanup(run))
                break
            except LeaseLost:
                raise
            except Exception as error:  # noqa: BLE001 - what is left behind is tried again, whatever the reason
                _log.warning("cleanup_retried", operation=lease.name, delay_s=delay_s, exc_info=error)
            await self._alive(lease, asyncio.sleep(delay_s))
            delay_s = min(delay_s * 2, MOST_BACKOFF_S)
        faults.point("operations.cleaned")
        async with self.database.session() as session:
            await store.settle(session, lease)
            await session.commit()

    async def _give_up(self, lease: Lease, error: Exception | None, **counts: int) -> None:
        error_id = uuid.uuid4().hex[:12]
        _log.error("operation_failed", operation=lease.name, error_id=error_id, exc_info=error, **counts)
        await self._end(lease, OperationFailed(lease.name, error_id))

    async def _end(self, lease: Lease, failure: Failure) -> None:
        async with self.database.session() as session:
            await store.end(session, lease, failure, self.clock.now())
            await session.commit()
        _log.info("operation_ended", operation=lease.name, reason=failure.reason)

    async def _sweep(self) -> None:
        async with self.database.session() as session:
            count = await store.sweep(session, self.clock.now() - KEEP)
            await session.commit()
        if count:
            _log.info("operations_swept", count=count)

    async def _stop(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            async with self.database.session() as session:
                await store.release(session, self._holder)
                await session.commit()
        except _DATABASE_ERRORS as error:
            _log.warning("leases_not_released", error=str(error))

    def _notify(self) -> None:
        """Wakes everything of this replica that waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()


async def _pause(changed: asyncio.Event, seconds: float) -> None:
    """Waits until something changes here, but no longer than that."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await changed.wait()


def _most_retries(error: Exception) -> int:
    """How often a try that ended so is repeated."""
    if isinstance(error, TRANSIENT):
        return MOST_TRANSIENT_RETRIES
    return 0 if isinstance(error, Failure) else MOST_RETRIES


def _project(name: str) -> str:
    """Returns the bare id in `projects/{project}/…`."""
    return name.split("/")[1]


def _now() -> float:
    return asyncio.get_running_loop().time()
