"""Slow work that survives the death of the server that does it, behind google.longrunning.Operations.

An operation is a row, written in the transaction that answers the caller. A replica leases it, calls the
handler of its kind from the start, and shows signs of life while the handler runs. A replica that falls
silent for `lease_s`, or whose process is gone from this machine, loses it to another; what the old one then
does meets the fence and changes nothing. Silence is measured on the watcher's own monotonic clock, so clocks
that differ or jump do no harm.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta

from google.longrunning import operations_pb2
from google.protobuf.message import Message
from sqlalchemy import RowMapping, event
from sqlalchemy.ext.asyncio import AsyncSession

from visiontune_kit import faults, logs, operations_rpc, replicas, telemetry
from visiontune_kit import operations_store as store
from visiontune_kit.clock import Clock, SystemClock
from visiontune_kit.database import Database
from visiontune_kit.errors import FailedPrecondition, NotFound
from visiontune_kit.operations_store import Beat, LeaseLost, OperationCancelled, table
from visiontune_kit.operations_work import DATABASE_ERRORS, Handler, OperationFailed, Run, Work, pause

__all__ = ["Handler", "LeaseLost", "OperationCancelled", "OperationFailed", "Operations", "Run", "table"]

POLL_S = 1.0  # how late a change by another replica may be noticed
KEEP = timedelta(days=30)
SWEEP_EVERY_S = 3600.0
_log = logs.get(__name__)


class OperationNotFound(NotFound):
    """No operation of that name, or none any more."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no operation {name}.", resource=name)


class OperationRunning(FailedPrecondition):
    """Only an operation that has ended, and is cleaned up after, can be deleted."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} has not ended. Cancel it first, or wait.", resource=name)


class Operations:
    """The operations of one service on one database, and the loop that runs them.

    handlers: by kind. A handler ends its operation by `Run.finish`. One that raises errors.Failure ends it
    with that status, but Unavailable and DeadlineExceeded are first retried for about a minute. Anything
    else is retried three times, then ends it with INTERNAL and an id that the log carries. A handler is
    cancelled (asyncio) when the operation is cancelled, when the lease is lost, and when the server stops;
    it must give back what it holds and raise on, and must not block the event loop for long.

    cleanups: by kind, optional. Called after the end, however the operation ended and even if no handler
    ever ran, until it returns without an exception. So it may run more than once, but never before the end.

    lease_s: how long a replica may be silent. concurrency: how many operations this replica runs at once.
    """

    def __init__(
        self,
        database: Database,
        handlers: Mapping[str, Handler],
        *,
        cleanups: Mapping[str, Handler] | None = None,
        clock: Clock | None = None,
        lease_s: float = 10.0,
        concurrency: int = 1,
    ) -> None:
        self.database = database
        self._handlers = dict(handlers)
        self._cleanups = dict(cleanups or {})
        self._clock = clock or SystemClock()
        self._lease_s = lease_s
        self._concurrency = concurrency
        self._holder = replicas.new_name()
        self._seen: dict[str, tuple[Beat, float]] = {}  # name: what it showed, since when (monotonic)
        self._heard_at = 0.0  # when it last looked (monotonic)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cleaning: set[str] = set()  # those of the tasks that need no slot any more
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
                "project": operations_rpc.project(name),
                "kind": kind,
                "payload": payload,
                "metadata": store.pack(metadata),
                "traceparent": telemetry.current_traceparent(),
                "created_at": self._clock.now(),
            },
        )
        event.listen(session.sync_session, "after_commit", lambda _session: self._notify(), once=True)
        return store.operation(row)

    async def get(self, name: str) -> operations_pb2.Operation:
        """Returns an operation as it is now. Raises OperationNotFound."""
        return store.operation(await self._row(name))

    async def find(self, session: AsyncSession, name: str) -> tuple[operations_pb2.Operation, bytes] | None:
        """Returns, in the caller's transaction, an operation and its payload; None when there is none."""
        row = await store.find(session, name)
        return None if row is None else (store.operation(row), row["payload"])

    async def wait(self, name: str, timeout_s: float) -> operations_pb2.Operation:
        """Returns the operation once it is done, the time is up or this server stops."""
        ends_at = _now() + timeout_s
        while True:
            changed = self._changed
            row = await self._row(name)
            left_s = ends_at - _now()
            if row["done"] or left_s <= 0 or self._stopped:
                return store.operation(row)
            await pause(changed, min(left_s, POLL_S))

    async def cancel(self, name: str) -> None:
        """Asks an operation to stop. It then ends with CANCELLED, unless it has ended already."""
        await self._row(name)
        asked_at = self._clock.now()
        await store.transact(self.database, lambda session: store.cancel(session, name, asked_at))
        self._notify()

    async def delete(self, name: str) -> None:
        """Forgets an operation that has ended. Raises OperationRunning, OperationNotFound."""
        await self._row(name)
        if not await store.transact(self.database, lambda session: store.remove(session, name)):
            raise OperationRunning(name)

    async def unsettled(self, session: AsyncSession, parent: str) -> Sequence[str]:
        """Returns, in the caller's transaction, the operations under `parent` that still work or clean up."""
        return await store.unsettled(session, operations_rpc.project(parent), f"{parent}/")

    async def running(self, session: AsyncSession, project: str, kind: str) -> Sequence[bytes]:
        """Returns, in the caller's transaction, payloads of a project's operations that have not ended."""
        return await store.running(session, project, kind)

    def servicer(self) -> operations_rpc.Servicer:
        """Returns google.longrunning.Operations on these operations."""
        return operations_rpc.Servicer(self)

    async def run(self) -> None:
        """Runs operations until it is cancelled; then stops the handlers and frees what it holds."""
        self._stopped = False
        sweeps_at = _now()
        try:
            while True:
                changed = self._changed
                try:
                    await self._take()
                    if _now() >= sweeps_at:
                        await self._sweep()
                        sweeps_at = _now() + SWEEP_EVERY_S
                except DATABASE_ERRORS as error:
                    _log.warning("operations_not_polled", error=str(error))
                await pause(changed, min(POLL_S, self._lease_s / 3))
        finally:
            self._stopped = True
            self._notify()
            await self._stop()

    async def _row(self, name: str) -> RowMapping:
        row = await store.transact(self.database, lambda session: store.find(session, name))
        if row is None:
            raise OperationNotFound(name)
        return row

    async def _take(self) -> None:
        """Leases as many operations as there are free slots, and starts them."""
        free = self._concurrency - len(self._tasks.keys() - self._cleaning)
        if free <= 0:
            return
        rows = await store.transact(self.database, lambda session: self._lease(session, free))
        for row in rows:
            faults.point("operations.claimed")
            self._tasks[row["name"]] = asyncio.create_task(self._work(row))

    async def _lease(self, session: AsyncSession, limit: int) -> Sequence[RowMapping]:
        silent = self._silent(await store.beats(session, self._handlers))
        return await store.claim(
            session, self._holder, kinds=self._handlers, silent=silent, busy=list(self._tasks), limit=limit
        )

    def _silent(self, beats: Mapping[str, Beat]) -> dict[str, Beat]:
        """Returns those whose replica is dead, or has shown the same beat for `lease_s`.

        While this replica was frozen or without its database, it heard nobody, which is no silence.
        """
        now = _now()
        before = self._seen if now - self._heard_at < self._lease_s else {}
        self._heard_at = now
        self._seen = {
            name: before[name] if name in before and before[name][0] == beat else (beat, now)
            for name, beat in beats.items()
        }
        return {
            name: beat
            for name, (beat, since) in self._seen.items()
            if now - since >= self._lease_s or replicas.is_dead(beat.holder)
        }

    async def _work(self, row: RowMapping) -> None:
        name = row["name"]
        work = Work(
            row,
            database=self.database,
            clock=self._clock,
            lease_s=self._lease_s,
            handler=self._handlers[row["kind"]],
            cleanup=self._cleanups.get(row["kind"]),
            woken=lambda: self._changed,
        )
        try:
            await work.finish()
            faults.point("operations.finished")
            self._cleaning.add(name)
            self._notify()
            await work.clean()
        except LeaseLost:
            _log.warning("operation_lost", operation=name, lease=row["lease"])
        except DATABASE_ERRORS as error:
            # The row stays held and silent, so it is taken over like a dead replica's.
            _log.warning("operation_abandoned", operation=name, error=str(error))
        finally:
            self._cleaning.discard(name)
            del self._tasks[name]
            self._notify()

    async def _sweep(self) -> None:
        before = self._clock.now() - KEEP
        count = await store.transact(self.database, lambda session: store.sweep(session, before))
        if count:
            _log.info("operations_swept", count=count)

    async def _stop(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await store.transact(self.database, lambda session: store.release(session, self._holder))
        except DATABASE_ERRORS as error:
            _log.warning("leases_not_released", error=str(error))

    def _notify(self) -> None:
        """Wakes everything of this replica that waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()


def _now() -> float:
    return asyncio.get_running_loop().time()
