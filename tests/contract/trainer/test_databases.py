"""What the trainer promises on both databases."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune.worker.v1 import worker_pb2
from visiontune_kit import errors
from visiontune_kit.database import Database
from visiontune_trainer.adapters import tables
from visiontune_trainer.adapters.database import UnitOfWork
from visiontune_trainer.adapters.rows import LostRace
from visiontune_trainer.domain.folders import Folder, FolderState, StoredFile
from visiontune_trainer.domain.reports import MetricPoint
from visiontune_trainer.domain.states import State
from visiontune_trainer.domain.usage import MachineTime
from visiontune_trainer.ports import Launch
from visiontune_trainer.use_cases.reconcile import Reconciler
from visiontune_trainer.use_cases.usage import Meter, usage_of

from tests.support import databases
from tests.support.eventually import eventually
from tests.support.fake_services import running_datasets
from tests.support.s3 import SeaweedFS
from tests.support.storage import running_storage
from tests.support.trainer import PARENT, HandBackend, TrainerHandle, create_request, trainer_beside
from tests.support.trainer_values import JOB, NOW, at, make_attempt, make_job


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await asyncio.to_thread(databases.migrate, database_url, "visiontune_trainer")
    opened = Database.open(database_url)
    yield opened
    await opened.close()


async def test_the_migrations_make_the_tables_that_the_code_names(database: Database) -> None:
    def differences(connection: Connection) -> list[Any]:
        found: list[Any] = compare_metadata(MigrationContext.configure(connection), tables.METADATA)
        return found

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_what_is_written_is_read_back(database: Database) -> None:
    job = make_job(metrics_after={"loss": math.inf}, cancel_requested_at=NOW, ran_s=1.5)
    attempt = make_attempt(claimed_at=NOW, finished_state=State.FAILED)
    file = StoredFile("a.bin", "projects/default/objects/o-1", 3, "0" * 64)
    folder = Folder(JOB, "checkpoints/step-1", 1, NOW, FolderState.COMMITTED, (file,), 1, 0.5, NOW)
    point = MetricPoint(JOB, 1, 0.5, {"loss": math.nan}, NOW, 1, change=7)
    async with UnitOfWork(database) as uow:
        await uow.jobs.add(job)
        await uow.jobs.add_attempt(attempt)
        await uow.folders.add(folder)
        await uow.records.put_metric(point)
        await uow.commit()
    async with UnitOfWork(database) as uow:
        assert await uow.jobs.lock(JOB) == job
        assert await uow.jobs.find_attempt(attempt.token_hash) == attempt
        assert await uow.folders.of(JOB, FolderState.COMMITTED) == [folder]
        found = await uow.records.metric_at(JOB, 1)
        assert found is not None
        assert math.isnan(found.values["loss"])
        assert replace(found, values={}) == replace(point, values={})


async def test_text_that_a_database_refuses_loses_the_refused_characters(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.claimed(job)
    sample = pb.Sample(example="e" * 500, prompt="a\0b", expected="7", before="\0")
    await worker.report(samples=[sample], log_lines=[pb.LogLine(level="x" * 20, message="c\0d")])
    samples = await trainer.call("ListSamples", pb.ListSamplesRequest(parent=job.name))
    assert samples.samples[0].prompt == "ab"
    lines = await trainer.call("ListLogLines", pb.ListLogLinesRequest(parent=job.name))
    assert lines.log_lines[0].message == "cd"


async def test_leaving_without_commit_changes_nothing(database: Database) -> None:
    async with UnitOfWork(database) as uow:
        await uow.jobs.add(make_job())
    async with UnitOfWork(database) as uow:
        assert await uow.jobs.get(JOB) is None


async def test_the_same_row_twice_is_a_lost_race(database: Database) -> None:
    async with UnitOfWork(database) as uow:
        await uow.jobs.add(make_job())
        await uow.commit()
    async with UnitOfWork(database) as uow:
        with pytest.raises(LostRace):
            await uow.jobs.add(make_job())


async def test_a_lease_has_one_holder_until_it_runs_out(database: Database) -> None:
    async def take(holder: str, second: float) -> bool:
        async with UnitOfWork(database) as uow:
            taken = await uow.leases.take("loop", holder, at(second), at(second + 5))
            await uow.commit()
        return taken

    assert await take("a", 0)
    assert not await take("b", 4)
    assert await take("a", 4)
    assert not await take("b", 8)
    assert await take("b", 10)
    assert not await take("a", 11)
    async with UnitOfWork(database) as uow:
        await uow.leases.release("loop", "a")
        await uow.leases.release("loop", "b")
        await uow.commit()
    assert await take("a", 11)


async def test_machine_times_replace_those_of_the_same_machines(database: Database) -> None:
    running = [MachineTime(name, "default", JOB, 1, "nvidia-l4", 2, None, NOW) for name in ("pod-1", "pod-2")]
    ended = replace(running[0], ended_at=at(60))
    for times in (running, [ended, running[1]]):
        async with UnitOfWork(database) as uow:
            await uow.usage.put(*times)
            await uow.commit()
    async with UnitOfWork(database) as uow:
        assert await uow.usage.between("default", JOB, NOW, at(3600)) == [ended, running[1]]


async def test_an_end_that_nobody_saw_is_guessed_from_the_workers_last_word(database: Database) -> None:
    async with UnitOfWork(database) as uow:
        await uow.jobs.add_attempt(make_attempt(claimed_at=NOW, heartbeat_at=at(1800)))
        await uow.commit()
    backend = HandBackend()
    backend.times = [MachineTime("pod-1", "default", JOB, 1, "nvidia-l4", 2, None, NOW)]
    clock: Any = SimpleNamespace(now=lambda: at(3600))
    deps: Any = SimpleNamespace(unit_of_work=lambda: UnitOfWork(database), backend=backend, clock=clock)
    await Meter(deps).tick()
    assert [each.hours for each in await usage_of("default", "", None, None, deps)] == [2.0]
    backend.times = []
    for _ in range(2):  # The next trainer, which never saw that pod; the second time changes nothing.
        await Meter(deps).tick()
    (found,) = await usage_of("default", JOB, None, None, deps)
    assert (found.hours, found.estimated_hours, found.cost) == (1.0, 1.0, None)
    assert await usage_of("other", "", None, None, deps) == []


async def test_jobs_with_a_worker_come_before_those_that_wait(database: Database) -> None:
    async with UnitOfWork(database) as uow:
        for number, state in enumerate(
            (State.QUEUED, State.RUNNING, State.FAILED, State.RETRYING, State.PAUSED)
        ):
            created_at = NOW + timedelta(seconds=number)
            job = make_job(name=f"{JOB}-{number}", state=state, created_at=created_at, attempt=2)
            await uow.jobs.add(job)
            for attempt in (1, 2):
                token_hash = f"{number}-{attempt}"
                await uow.jobs.add_attempt(make_attempt(job=job.name, number=attempt, token_hash=token_hash))
        await uow.commit()
    async with UnitOfWork(database) as uow:
        found = await uow.jobs.unfinished()
    assert [job.state for job, _ in found] == [State.RUNNING, State.QUEUED, State.RETRYING]
    assert [attempt and attempt.name for _, attempt in found] == [f"{JOB}-1/attempts/2", None, None]


async def test_a_job_goes_all_the_way(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    first = await trainer.claimed(job)
    await first.metrics(1, loss=2.0)
    await first.checkpoint(1)
    trainer.backend.exits(first.attempt, -9)
    second = await trainer.claimed(job, 2)
    await second.report(log_lines=[pb.LogLine(level="info", message="on we go")])
    await second.succeed()
    request = pb.WatchTrainingJobRequest(name=job.name)
    messages = [
        message async for message in trainer.stub.WatchTrainingJob(request, metadata=trainer.trust.metadata())
    ]
    kinds = [message.WhichOneof("update") for message in messages]
    assert kinds.count("event") == 8
    assert kinds[-1] == "snapshot_complete"
    model = pb.Model(training_job=job.name)
    await trainer.call(
        "RegisterModel", pb.RegisterModelRequest(parent=PARENT, model_id="digits", model=model)
    )
    await trainer.call("DeleteTrainingJob", pb.DeleteTrainingJobRequest(name=job.name))

    async def only_the_model_is_left() -> bool:
        return await trainer.objects() == [f"{job.name}/artifacts/model/attempts/2"]

    await eventually(only_the_model_is_left)


async def test_of_many_that_create_one_job_one_does(trainer: TrainerHandle) -> None:
    request = create_request("digits")
    answers = await asyncio.gather(
        *(trainer.call("CreateTrainingJob", request) for _ in range(8)), return_exceptions=True
    )
    made = [answer for answer in answers if isinstance(answer, pb.TrainingJob)]
    refused = [answer for answer in answers if isinstance(answer, errors.AlreadyExists | errors.Aborted)]
    assert (len(made), len(refused)) == (1, 7)
    assert (await trainer.events(made[0].name)).count("QUEUED") == 1


async def test_what_is_recorded_at_once_is_numbered_without_gaps(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.claimed(job)
    stream = worker.stream()
    for sequence in range(1, 21):
        lines = [pb.LogLine(message=f"{sequence}-{line}") for line in range(3)]
        await stream.write(
            worker_pb2.ReportRequest(attempt=worker.attempt, sequence=sequence, log_lines=lines)
        )
    await asyncio.gather(*(worker.checkpoint(step) for step in range(1, 7)))
    acknowledged = 0
    while acknowledged < 20:
        acknowledged = (await stream.read()).acknowledged
    lines = await trainer.call("ListLogLines", pb.ListLogLinesRequest(parent=job.name))
    assert [line.sequence for line in lines.log_lines] == list(range(1, 61))
    assert (await trainer.events(job.name)).count("CHECKPOINT_SAVED") == 6


async def test_a_checkpoint_that_is_being_deleted_cannot_be_written(
    trainer: TrainerHandle, database: Database
) -> None:
    job = await trainer.create()
    worker = await trainer.claimed(job)
    folder = Folder(job.name, "checkpoints/step-9", 1, NOW, FolderState.DOOMED)
    async with UnitOfWork(database) as uow:
        await uow.folders.add(folder)
        await uow.commit()
    with pytest.raises(errors.FailedPrecondition) as refused:
        await worker.create("checkpoints/step-9", {"a.bin": b"a"})
    assert refused.value.reason == "FolderDeleted"


class CountingBackend(HandBackend):
    """Notes every launch, also of what is launched already."""

    def __init__(self, slots: int | None) -> None:
        super().__init__(slots)
        self.launches: list[str] = []

    async def launch(self, launch: Launch) -> None:
        self.launches.append(launch.attempt)
        await super().launch(launch)


async def leave(reconciler: Reconciler) -> None:
    """What a leader does that is killed."""


@pytest.mark.parametrize("how", [Reconciler._leave, leave], ids=["leaves", "dies"])
async def test_two_replicas_launch_each_attempt_once_and_the_other_goes_on(
    s3: SeaweedFS, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, how: Any
) -> None:
    backend = CountingBackend(slots=None)
    monkeypatch.setattr(Reconciler, "_leave", how)
    async with (
        running_storage(s3, tmp_path) as storage,
        running_datasets(storage.trust.issuers_file) as (datasets, target),
        AsyncExitStack() as leader,
        AsyncExitStack() as follower,
    ):
        beside = (storage, datasets, target, tmp_path, backend, None, database_url)
        first = await leader.enter_async_context(trainer_beside(*beside))
        second = await follower.enter_async_context(trainer_beside(*beside))
        jobs = await asyncio.gather(
            *(handle.create(f"job-{n}") for n, handle in enumerate([first, second] * 4))
        )
        workers = [await second.claimed(job) for job in jobs]
        assert sorted(backend.launches) == sorted(worker.attempt for worker in workers)
        await leader.aclose()
        late = await second.create("late")
        await second.claimed(late)
        assert len(backend.launches) == len(set(backend.launches)) == 9
