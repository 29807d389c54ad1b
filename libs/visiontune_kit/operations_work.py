"""Brings one leased operation to its end: tries, signs of life, retries, and the cleanup after it."""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from google.protobuf.message import Message
from opentelemetry import metrics
from opentelemetry.trace import SpanKind
from sqlalchemy import RowMapping
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from visiontune_kit import faults, logs, telemetry
from visiontune_kit import operations_store as store
from visiontune_kit.clock import Clock
from visiontune_kit.database import Database, DatabaseUnavailable
from visiontune_kit.errors import DeadlineExceeded, Failure, Internal, Unavailable
from visiontune_kit.operations_store import Lease, LeaseLost, OperationCancelled
from visiontune_kit.status import code_of

MOST_CRASHES = 10  # when more replicas than this died over it, it kills them
MOST_RETRIES = 3
MOST_TRANSIENT_RETRIES = 8  # about 75 s: another service may be restarting
MOST_BACKOFF_S = 15.0
TRANSIENT = (Unavailable, DeadlineExceeded, OperationalError, InterfaceError)
DATABASE_ERRORS = (SQLAlchemyError, DatabaseUnavailable)
_log = logs.get(__name__)
_durations = metrics.get_meter("visiontune").create_histogram(
    "visiontune_operation_duration_seconds",
    unit="s",
    description="From creation to the end, by kind and code.",
)


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
    _database: Database = field(repr=False)
    _clock: Clock = field(repr=False)

    async def progress(self, metadata: Message) -> None:
        """Stores the operation's metadata for pollers, in a transaction of its own.

        Call it outside of any transaction: on SQLite it would wait for that one for ever.
        Raises LeaseLost when another replica took over, OperationCancelled when it was cancelled.
        """
        values = {"metadata": store.pack(metadata)}
        await store.transact(self._database, lambda session: store.write(session, self._lease, **values))

    async def finish(self, session: AsyncSession, response: Message, metadata: Message | None = None) -> None:
        """Ends the operation well in the caller's transaction, which then holds the effect and the answer.

        Raises LeaseLost or OperationCancelled, as `progress` does; the caller then must not commit.
        """
        values = {"response": store.pack(response), "done": True, "finished_at": self._clock.now()}
        if metadata is not None:
            values["metadata"] = store.pack(metadata)
        await store.write(session, self._lease, **values)


Handler = Callable[[Run], Awaitable[None]]


class Work:
    """What a replica does with one operation that it has leased.

    woken: an event that is set, and replaced, whenever something changes in this process.
    """

    def __init__(
        self,
        row: RowMapping,
        *,
        database: Database,
        clock: Clock,
        lease_s: float,
        handler: Handler,
        cleanup: Handler | None,
        woken: Callable[[], asyncio.Event],
    ) -> None:
        self._row = row
        self._lease = Lease(row["name"], row["lease"])
        self._database = database
        self._clock = clock
        self._lease_s = lease_s
        self._handler = handler
        self._cleanup = cleanup
        self._woken = woken
        self._log = _log.bind(operation=row["name"], kind=row["kind"], lease=row["lease"])

    async def finish(self) -> None:
        """Tries until the operation has ended. Raises LeaseLost."""
        if self._row["done"]:
            return
        if self._row["cancel_requested"]:
            await self._end(OperationCancelled(self._lease.name))
        elif self._row["crash_count"] > MOST_CRASHES:
            await self._give_up(None)
        else:
            failures = self._row["failure_count"]
            while not await self._finished(failures):
                failures += 1

    async def clean(self) -> None:
        """Calls the kind's cleanup until it succeeds, then settles the operation. Raises LeaseLost."""
        delay_s = 1.0
        while self._cleanup is not None:
            try:
                await self._alive(self._cleanup(self._run(restart_count=0)))
                break
            except LeaseLost:
                raise
            except Exception as error:  # noqa: BLE001 - what is left behind is tried again, whatever the reason
                self._log.warning("cleanup_retried", delay_s=delay_s, exc_info=error)
            await self._alive(asyncio.sleep(delay_s))
            delay_s = min(delay_s * 2, MOST_BACKOFF_S)
        faults.point("operations.cleaned")
        await store.transact(self._database, lambda session: store.settle(session, self._lease))

    async def _finished(self, failures: int) -> bool:
        """Tries once; False, after a pause, when it is worth another try."""
        try:
            await self._try(restart_count=self._row["lease"] - 1 + failures)
            return True
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is retried or reported
            if failures >= _most_retries(error):
                await (self._end(error) if isinstance(error, Failure) else self._give_up(error))
                return True
            delay_s = min(2.0**failures, MOST_BACKOFF_S)
            self._log.warning("operation_retried", delay_s=delay_s, exc_info=error)
        try:
            counts = {"failure_count": failures + 1}
            await store.transact(self._database, lambda session: store.write(session, self._lease, **counts))
            await self._alive(asyncio.sleep(delay_s))
        except OperationCancelled as cancelled:
            await self._end(cancelled)
            return True
        return False

    async def _try(self, restart_count: int) -> None:
        """Calls the handler once, in the trace of whoever created the operation. Raises what it raises."""
        with telemetry.tracer().start_as_current_span(
            f"operation {self._row['kind']}",
            context=telemetry.extract({"traceparent": self._row["traceparent"]}),
            kind=SpanKind.CONSUMER,
            attributes={
                "visiontune.operation": self._lease.name,
                "visiontune.restart_count": restart_count,
            },
        ):
            self._log.info("operation_started", restart_count=restart_count)
            await self._alive(self._handler(self._run(restart_count)))
            row = await store.transact(self._database, lambda session: store.find(session, self._lease.name))
            if row is None or not row["done"]:
                raise RuntimeError(f"the handler of {self._row['kind']!r} returned without finish and commit")
        self._record("OK")

    async def _alive(self, work: Awaitable[None]) -> None:
        """Awaits `work` while showing signs of life; cancels it when the lease or the wish for it is gone."""
        working = asyncio.ensure_future(work)
        beating = asyncio.create_task(self._beat())
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

    async def _beat(self) -> None:
        """Shows a sign of life three times in each `lease_s`, until the operation is lost or cancelled."""
        while True:
            await pause(self._woken(), self._lease_s / 3)
            try:
                await store.transact(self._database, lambda session: store.beat(session, self._lease))
            except DATABASE_ERRORS as error:
                self._log.warning("heartbeat_failed", error=str(error))

    async def _give_up(self, error: Exception | None) -> None:
        """Ends with INTERNAL and an id that leads to the log."""
        error_id = uuid.uuid4().hex[:12]
        crashes = self._row["crash_count"]
        self._log.error("operation_failed", error_id=error_id, crash_count=crashes, exc_info=error)
        await self._end(OperationFailed(self._lease.name, error_id))

    async def _end(self, failure: Failure) -> None:
        ended_at = self._clock.now()
        await store.transact(
            self._database, lambda session: store.end(session, self._lease, failure, ended_at)
        )
        self._record(code_of(failure).name)

    def _record(self, code: str) -> None:
        duration_s = (self._clock.now() - self._row["created_at"]).total_seconds()
        _durations.record(duration_s, {"kind": self._row["kind"], "code": code})
        self._log.info("operation_ended", code=code, duration_s=round(duration_s, 3))

    def _run(self, restart_count: int) -> Run:
        row = self._row
        return Run(
            row["name"],
            row["kind"],
            row["payload"],
            row["project"],
            restart_count,
            self._lease,
            self._database,
            self._clock,
        )


async def pause(woken: asyncio.Event, seconds: float) -> None:
    """Waits until something changes in this process, but no longer than that."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await woken.wait()


def _most_retries(error: Exception) -> int:
    """How often a try that ended so is repeated."""
    if isinstance(error, TRANSIENT):
        return MOST_TRANSIENT_RETRIES
    return 0 if isinstance(error, Failure) else MOST_RETRIES
