"""What durable operations promise, on each database that they run on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import grpc
import pytest
from google.longrunning import operations_pb2 as pb
from google.protobuf import duration_pb2, wrappers_pb2
from google.rpc import error_details_pb2
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from sqlalchemy import Column, MetaData, String, Table, insert, select, update
from visiontune_kit import operations, operations_work, pages
from visiontune_kit.database import Database
from visiontune_kit.errors import InvalidArgument, Unavailable, Violation
from visiontune_kit.operations import LeaseLost, OperationCancelled, Operations, Run

from tests.support.databases import create_tables

NAME = "projects/p/datasets/d/operations/o1"
KIND = "import"
METADATA = MetaData()
OPERATIONS = operations.table(METADATA)
EFFECTS = Table("effects", METADATA, Column("operation", String(400)), Column("note", String(40)))
text = wrappers_pb2.StringValue


@dataclass
class Replica:
    """One server's operations, with what its handlers did."""

    operations: Operations
    database: Database
    runs: list[Run] = field(default_factory=list)
    cleaned: list[str] = field(default_factory=list)

    async def create(self, name: str = NAME, payload: bytes = b"payload") -> pb.Operation:
        async with self.database.session() as session:
            operation = await self.operations.create(
                session, name=name, kind=KIND, payload=payload, metadata=text(value="queued")
            )
            await session.commit()
        return operation

    async def ended(self, name: str = NAME, within_s: float = 30) -> pb.Operation:
        operation = await self.operations.wait(name, within_s)
        assert operation.done, "the operation is stuck"
        return operation

    async def settled(self, name: str = NAME) -> None:
        async def settled() -> bool:
            return bool((await self.row(name))["settled"])

        await until_async(settled)

    async def row(self, name: str = NAME) -> Any:
        async with self.database.session() as session:
            return (
                (await session.execute(select(OPERATIONS).where(OPERATIONS.c.name == name))).mappings().one()
            )

    async def effects(self) -> Sequence[str]:
        async with self.database.session() as session:
            return (await session.execute(select(EFFECTS.c.note))).scalars().all()

    async def finish(self, run: Run, note: str = "done") -> None:
        """The end of a well-behaved handler: effect and answer in one transaction."""
        async with self.database.session() as session:
            await session.execute(insert(EFFECTS).values(operation=run.name, note=note))
            await run.finish(session, text(value=note), text(value="finished"))
            await session.commit()


Handler = Callable[[Replica, Run], Awaitable[None]]


@dataclass
class Service:
    """Makes replicas on one database."""

    url: str

    @asynccontextmanager
    async def replica(
        self, handler: Handler, *, running: bool = True, cleanup: Handler | None = None, lease_s: float = 0.6
    ) -> AsyncIterator[Replica]:
        database = Database.open(self.url)

        async def handle(run: Run) -> None:
            replica.runs.append(run)
            await handler(replica, run)

        async def clean(run: Run) -> None:
            replica.cleaned.append(run.name)
            if cleanup is not None:
                await cleanup(replica, run)

        replica = Replica(
            Operations(database, {KIND: handle}, cleanups={KIND: clean}, lease_s=lease_s), database
        )
        loop = asyncio.create_task(replica.operations.run()) if running else None
        try:
            yield replica
        finally:
            if loop is not None:
                loop.cancel()
                await asyncio.gather(loop, return_exceptions=True)
            await database.close()


@pytest.fixture
async def service(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(operations, "POLL_S", 0.1)
    monkeypatch.setattr(operations_work, "MOST_BACKOFF_S", 0.05)
    await create_tables(database_url, METADATA)
    return Service(database_url)


async def succeed(replica: Replica, run: Run) -> None:
    await replica.finish(run)


async def hang(_replica: Replica, _run: Run) -> None:
    await asyncio.Event().wait()


async def until_async(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 - the event lies in another process or database
            await asyncio.sleep(0.02)


async def until(condition: Callable[[], object]) -> None:
    async def check() -> object:
        return condition()

    await until_async(check)


def string(packed: Any) -> str:
    value = text()
    assert packed.Unpack(value)
    return value.value


async def test_an_operation_runs_and_its_answer_metadata_and_effect_appear(service: Service) -> None:
    async with service.replica(succeed) as replica:
        created = await replica.create()
        assert (created.name, created.done, string(created.metadata)) == (NAME, False, "queued")
        ended = await replica.ended()
        assert (string(ended.response), string(ended.metadata)) == ("done", "finished")
        assert await replica.effects() == ["done"]
        run = replica.runs[0]
        assert (run.kind, run.payload, run.project, run.restart_count) == (KIND, b"payload", "p", 0)


async def test_an_operation_whose_transaction_rolls_back_never_was(service: Service) -> None:
    async with service.replica(succeed) as replica:
        async with replica.database.session() as session:
            await replica.operations.create(session, name=NAME, kind=KIND, payload=b"", metadata=text())
        await asyncio.sleep(0.3)
        assert replica.runs == []
        with pytest.raises(operations.OperationNotFound):
            await replica.operations.get(NAME)


async def test_creating_the_same_name_again_returns_the_first(service: Service) -> None:
    async with service.replica(succeed) as replica:
        await replica.create(payload=b"first")
        await replica.ended()
        again = await replica.create(payload=b"second")
        assert again.done
        assert [run.payload for run in replica.runs] == [b"first"]


async def test_two_creations_of_one_name_at_once_make_one_operation(service: Service) -> None:
    async with service.replica(succeed) as replica:
        answers = await asyncio.gather(*(replica.create() for _ in range(5)))
        assert {answer.name for answer in answers} == {NAME}
        await replica.ended()
        assert await replica.effects() == ["done"]


async def test_an_unknown_kind_is_refused_at_once(service: Service) -> None:
    async with service.replica(succeed, running=False) as replica, replica.database.session() as session:
        with pytest.raises(ValueError, match="no handler"):
            await replica.operations.create(session, name=NAME, kind="other", payload=b"", metadata=text())


async def test_progress_is_seen_by_another_replica(service: Service) -> None:
    async def report(replica: Replica, run: Run) -> None:
        await run.progress(text(value="half"))
        await hang(replica, run)

    async with service.replica(report) as worker, service.replica(succeed, running=False) as other:
        await worker.create()

        async def half_seen() -> bool:
            return string((await other.operations.get(NAME)).metadata) == "half"

        await until_async(half_seen)


async def test_a_failure_ends_the_operation_with_its_status_and_details(service: Service) -> None:
    class BrokenArchive(InvalidArgument):
        pass

    async def fail(_replica: Replica, _run: Run) -> None:
        raise BrokenArchive("line 42 is not JSON", violations=[Violation("records[41]", "not JSON")])

    async with service.replica(fail) as replica:
        await replica.create()
        error = (await replica.ended()).error
        info, violations = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        assert error.details[0].Unpack(info)
        assert error.details[1].Unpack(violations)
        assert (error.code, error.message) == (
            grpc.StatusCode.INVALID_ARGUMENT.value[0],
            "line 42 is not JSON",
        )
        assert (info.reason, violations.field_violations[0].field) == ("BrokenArchive", "records[41]")
        assert len(replica.runs) == 1


async def test_an_unexpected_exception_is_retried_and_then_succeeds(service: Service) -> None:
    async def stumble(replica: Replica, run: Run) -> None:
        if run.restart_count < 2:
            raise KeyError("oops")
        await replica.finish(run)

    async with service.replica(stumble) as replica:
        await replica.create()
        assert string((await replica.ended()).response) == "done"
        assert [run.restart_count for run in replica.runs] == [0, 1, 2]


async def test_an_exception_that_stays_ends_as_internal_without_its_text(service: Service) -> None:
    async def explode(_replica: Replica, _run: Run) -> None:
        raise KeyError("secret")

    async with service.replica(explode) as replica:
        await replica.create()
        error = (await replica.ended()).error
        info = error_details_pb2.ErrorInfo()
        assert error.details[0].Unpack(info)
        assert error.code == grpc.StatusCode.INTERNAL.value[0]
        assert info.metadata["error_id"] in error.message
        assert "secret" not in error.message
        assert len(replica.runs) == 1 + operations_work.MOST_RETRIES


async def test_an_unavailable_neighbour_is_waited_for_and_in_the_end_reported(service: Service) -> None:
    async def unreachable(_replica: Replica, _run: Run) -> None:
        raise Unavailable("storage is away")

    async with service.replica(unreachable) as replica:
        await replica.create()
        error = (await replica.ended()).error
        assert (error.code, error.message) == (grpc.StatusCode.UNAVAILABLE.value[0], "storage is away")
        assert len(replica.runs) == 1 + operations_work.MOST_TRANSIENT_RETRIES


async def test_a_handler_that_forgets_to_finish_or_to_commit_is_a_bug_not_a_stuck_operation(
    service: Service,
) -> None:
    async def forget(replica: Replica, run: Run) -> None:
        async with replica.database.session() as session:
            await run.finish(session, text())

    async with service.replica(forget) as replica:
        await replica.create()
        assert (await replica.ended()).error.code == grpc.StatusCode.INTERNAL.value[0]


async def test_a_handler_that_cancels_itself_is_a_bug_not_a_stuck_operation(service: Service) -> None:
    async def give_up(_replica: Replica, _run: Run) -> None:
        raise asyncio.CancelledError

    async with service.replica(give_up) as replica:
        await replica.create()
        assert (await replica.ended()).error.code == grpc.StatusCode.INTERNAL.value[0]


async def test_cancel_stops_a_running_handler_even_from_another_replica(service: Service) -> None:
    async with service.replica(hang) as worker, service.replica(succeed, running=False) as other:
        await worker.create()
        await until(lambda: worker.runs)
        await other.operations.cancel(NAME)
        error = (await worker.ended()).error
        assert error.code == grpc.StatusCode.CANCELLED.value[0]
        await other.operations.cancel(NAME)
        assert (await other.operations.get(NAME)).error == error


async def test_a_cancelled_operation_cannot_finish_or_report_before_its_replica_knows(
    service: Service,
) -> None:
    refusals: list[str] = []

    async with service.replica(succeed, running=False) as other:

        async def stubborn(replica: Replica, run: Run) -> None:
            await other.operations.cancel(run.name)
            for late in (replica.finish(run), run.progress(text())):
                with pytest.raises(OperationCancelled) as refused:
                    await late
                refusals.append(refused.value.reason)
            raise refused.value

        async with service.replica(stubborn, lease_s=60) as replica:
            await replica.create()
            assert (await replica.ended()).error.code == grpc.StatusCode.CANCELLED.value[0]
            assert refusals == ["OperationCancelled"] * 2
            assert await replica.effects() == []


async def test_silence_that_nobody_could_hear_takes_nothing_from_its_holder(service: Service) -> None:
    async with (
        service.replica(hang, lease_s=60) as holder,
        service.replica(succeed, running=False, lease_s=0.3) as other,
    ):
        await holder.create()
        await until(lambda: holder.runs)
        await other.operations._take()
        await asyncio.sleep(0.4)  # as if it was frozen, or its database was away
        await other.operations._take()
        assert (await other.row())["lease"] == 1
        for _ in range(4):
            await asyncio.sleep(0.1)
            await other.operations._take()
        assert (await other.row())["lease"] == 2


async def test_cancel_before_the_start_ends_the_operation_at_once_and_cleans_up(service: Service) -> None:
    async with service.replica(succeed, running=False) as idle:
        await idle.create()
        await idle.operations.cancel(NAME)
        assert (await idle.operations.get(NAME)).error.code == grpc.StatusCode.CANCELLED.value[0]
    async with service.replica(succeed) as replica:
        await replica.settled()
        assert (replica.runs, replica.cleaned) == ([], [NAME])


async def test_cancel_during_the_pause_before_a_retry_ends_the_operation(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations_work, "MOST_BACKOFF_S", 60)

    async def explode(_replica: Replica, _run: Run) -> None:
        raise KeyError

    async with service.replica(explode) as replica:
        await replica.create()

        async def pausing() -> bool:
            return bool((await replica.row())["failure_count"] >= 3)

        await until_async(pausing)
        await replica.operations.cancel(NAME)
        assert (await replica.ended()).error.code == grpc.StatusCode.CANCELLED.value[0]


async def test_a_silent_replica_loses_its_operation_and_cannot_finish_or_report_it(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silence() -> None:
        return

    waking = asyncio.Event()
    late: list[type[BaseException]] = []

    async def sleep_through(replica: Replica, run: Run) -> None:
        await waking.wait()
        for act in (replica.finish(run, "late"), run.progress(text(value="late"))):
            try:
                await act
            except LeaseLost as lost:
                late.append(type(lost))

    async with service.replica(sleep_through) as zombie:
        await zombie.create()
        await until(lambda: zombie.runs)
        # As under SIGSTOP: heartbeats and polls cease; the handler goes on below, when it is too late.
        run = zombie.runs[0]
        monkeypatch.setattr(zombie.operations, "_take", silence)
        for task in list(zombie.operations._tasks.values()):
            task.cancel()
        async with service.replica(succeed) as other:
            ended = await other.ended()
            waking.set()
            await sleep_through(zombie, run)
            assert late == [LeaseLost, LeaseLost]
            assert await other.effects() == ["done"]
            assert other.runs[0].restart_count == 1
            assert await other.operations.get(NAME) == ended


async def test_a_running_operation_is_not_taken_while_its_replica_lives(service: Service) -> None:
    async def slow(replica: Replica, run: Run) -> None:
        await asyncio.sleep(2)
        await replica.finish(run)

    async with service.replica(slow) as first, service.replica(slow) as second:
        await first.create()
        await first.ended()
        assert len(first.runs) + len(second.runs) == 1


async def test_many_operations_on_two_replicas_run_once_each(service: Service) -> None:
    async with service.replica(succeed) as first, service.replica(succeed) as second:
        names = [f"projects/p/datasets/d/operations/o{number}" for number in range(30)]
        for name in names:
            await first.create(name)
        for name in names:
            await second.ended(name)
        assert len(await first.effects()) == len(names)
        assert sorted(run.name for run in first.runs + second.runs) == sorted(names)


async def test_a_stopped_server_frees_its_operation_at_once(service: Service) -> None:
    async with service.replica(hang, lease_s=60) as first:
        await first.create()
        await until(lambda: first.runs)
    async with service.replica(succeed, lease_s=60) as second:
        await second.ended(within_s=5)
        assert second.runs[0].restart_count == 1
        assert (await second.row())["crash_count"] == 0


async def test_waiters_return_when_the_server_stops(service: Service) -> None:
    async with service.replica(hang) as replica:
        await replica.create()
        waiting = asyncio.create_task(replica.operations.wait(NAME, 60))
        await asyncio.sleep(0.2)
        replica.operations._stopped = True
        replica.operations._notify()
        assert not (await asyncio.wait_for(waiting, 2)).done


async def test_an_operation_that_kills_its_replicas_is_given_up(service: Service) -> None:
    async with service.replica(succeed, running=False) as idle:
        await idle.create()
        async with idle.database.session() as session:
            crashes = operations_work.MOST_CRASHES
            await session.execute(
                update(OPERATIONS).values(holder="there/1/dead", lease=11, crash_count=crashes)
            )
            await session.commit()
    async with service.replica(succeed) as replica:
        assert (await replica.ended()).error.code == grpc.StatusCode.INTERNAL.value[0]
        assert replica.runs == []


async def test_cleanup_follows_each_end_and_is_repeated_until_it_succeeds(service: Service) -> None:
    seen_done: list[bool] = []

    async def clean_at_the_second_try(replica: Replica, run: Run) -> None:
        seen_done.append((await replica.operations.get(run.name)).done)
        if len(seen_done) == 1:
            raise Unavailable("storage is away")

    async with service.replica(succeed, cleanup=clean_at_the_second_try) as replica:
        await replica.create()
        await replica.settled()
        assert seen_done == [True, True]


async def test_a_cleanup_that_was_interrupted_is_finished_by_the_next_replica(service: Service) -> None:
    async with service.replica(succeed, cleanup=hang) as first:
        await first.create()
        await first.ended()
        with pytest.raises(operations.OperationRunning):
            await first.operations.delete(NAME)
    async with service.replica(succeed) as second:
        await second.settled()
        assert (second.runs, second.cleaned) == ([], [NAME])
        assert await second.effects() == ["done"]


async def test_unsettled_operations_of_a_parent_are_known(service: Service) -> None:
    async with service.replica(hang) as replica:
        await replica.create()
        await replica.create("projects/p/datasets/d_2/operations/o2")
        async with replica.database.session() as session:
            assert await replica.operations.unsettled(session, "projects/p/datasets/d") == [NAME]
            assert await replica.operations.unsettled(session, "projects/other/datasets/d") == []


async def test_operations_are_kept_for_a_month(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "SWEEP_EVERY_S", 0.1)
    async with service.replica(succeed) as replica:
        await replica.create()
        await replica.settled()
        await asyncio.sleep(0.3)
        await replica.operations.get(NAME)
        long_ago = datetime.now(UTC) - timedelta(days=31)
        async with replica.database.session() as session:
            await session.execute(update(OPERATIONS).values(finished_at=long_ago))
            await session.commit()
        await asyncio.sleep(0.5)
        with pytest.raises(operations.OperationNotFound):
            await replica.operations.get(NAME)


async def test_the_handler_runs_in_the_trace_of_the_call_that_created_it(service: Service) -> None:
    seen: list[int] = []

    async def look(replica: Replica, run: Run) -> None:
        seen.append(trace.get_current_span().get_span_context().trace_id)
        await replica.finish(run)

    tracer = TracerProvider().get_tracer("test")
    async with service.replica(look) as replica:
        with tracer.start_as_current_span("call") as span:
            await replica.create()
        await replica.ended()
        assert seen == [span.get_span_context().trace_id]


class Call:
    """The part of a gRPC context that the servicer reads."""

    def __init__(self, remaining_s: float | None) -> None:
        self.remaining_s = remaining_s

    def time_remaining(self) -> float | None:
        return self.remaining_s


CALL = cast("Any", Call(None))


async def test_listing_pages_newest_first_within_its_parent(service: Service) -> None:
    async with service.replica(succeed, running=False) as replica:
        for number in range(5):
            await replica.create(f"projects/p/datasets/d/operations/o{number}")
        await replica.create("projects/p/datasets/d2/operations/o9")
        await replica.create("projects/q/datasets/d/operations/o9")
        servicer = replica.operations.servicer()
        request = pb.ListOperationsRequest(name="projects/p/datasets/d", page_size=2)
        found: list[list[str]] = []
        while True:
            answer = await servicer.ListOperations(request, CALL)
            found.append([operation.name.rpartition("/")[2] for operation in answer.operations])
            request.page_token = answer.next_page_token
            if not answer.next_page_token:
                break
        assert found == [["o4", "o3"], ["o2", "o1"], ["o0"]]
        everything = await servicer.ListOperations(pb.ListOperationsRequest(name="projects/p"), CALL)
        assert len(everything.operations) == 6


async def test_a_made_up_page_token_is_refused(service: Service) -> None:
    async with service.replica(succeed, running=False) as replica:
        request = pb.ListOperationsRequest(name="projects/p/datasets/d")
        request.page_token = pages.encode(request, ["yesterday", "x"])
        with pytest.raises(pages.InvalidPageToken):
            await replica.operations.servicer().ListOperations(request, CALL)


async def test_listing_filters_by_done_and_refuses_other_filters(service: Service) -> None:
    async with service.replica(succeed, running=False) as replica:
        await replica.create()
        servicer = replica.operations.servicer()
        for text_, count in (("done=true", 0), ("done = false", 1), ("", 1)):
            request = pb.ListOperationsRequest(name="projects/p", filter=text_)
            assert len((await servicer.ListOperations(request, CALL)).operations) == count
        with pytest.raises(InvalidArgument, match="not supported"):
            await servicer.ListOperations(pb.ListOperationsRequest(name="projects/p", filter="x"), CALL)
        with pytest.raises(InvalidArgument, match="not a resource name"):
            await servicer.ListOperations(pb.ListOperationsRequest(name="operations"), CALL)


async def test_waiting_returns_at_the_end_at_the_timeout_and_before_the_deadline(service: Service) -> None:
    async with service.replica(hang) as replica:
        await replica.create()
        servicer = replica.operations.servicer()
        begin = asyncio.get_running_loop().time()
        request = pb.WaitOperationRequest(name=NAME, timeout=duration_pb2.Duration(nanos=200_000_000))
        assert not (await servicer.WaitOperation(request, CALL)).done
        soon = cast("Any", Call(remaining_s=1.2))
        assert not (await servicer.WaitOperation(pb.WaitOperationRequest(name=NAME), soon)).done
        assert asyncio.get_running_loop().time() - begin < 2
        waiting = asyncio.create_task(servicer.WaitOperation(pb.WaitOperationRequest(name=NAME), CALL))
        await servicer.CancelOperation(pb.CancelOperationRequest(name=NAME), CALL)
        assert (await asyncio.wait_for(waiting, 5)).done


async def test_absent_operations_are_not_found_and_running_ones_not_deleted(service: Service) -> None:
    async with service.replica(hang) as replica:
        servicer = replica.operations.servicer()
        absent = "projects/p/datasets/d/operations/absent"
        for call in (
            servicer.GetOperation(pb.GetOperationRequest(name=absent), CALL),
            servicer.CancelOperation(pb.CancelOperationRequest(name=absent), CALL),
            servicer.DeleteOperation(pb.DeleteOperationRequest(name=absent), CALL),
            servicer.WaitOperation(pb.WaitOperationRequest(name=absent), CALL),
        ):
            with pytest.raises(operations.OperationNotFound):
                await call
        await replica.create()
        with pytest.raises(operations.OperationRunning):
            await servicer.DeleteOperation(pb.DeleteOperationRequest(name=NAME), CALL)
        await replica.operations.cancel(NAME)
        await replica.settled()
        await servicer.DeleteOperation(pb.DeleteOperationRequest(name=NAME), CALL)
        with pytest.raises(operations.OperationNotFound):
            await replica.operations.get(NAME)
