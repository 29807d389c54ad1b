"""When what the trainer depends on is away, slow or wrong: what is only unseen has not failed."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune.worker.v1 import worker_pb2
from visiontune_kit import errors
from visiontune_kit.database import Database
from visiontune_trainer import ports
from visiontune_trainer.adapters.database import UnitOfWork
from visiontune_trainer.domain.next_step import Observation, Sight
from visiontune_trainer.domain.problems import BackendUnavailable
from visiontune_trainer.use_cases import attempts

from tests.support import databases
from tests.support.eventually import eventually
from tests.support.fake_services import running_datasets
from tests.support.s3 import SeaweedFS
from tests.support.storage import running_storage
from tests.support.trainer import (
    HandBackend,
    TrainerHandle,
    create_request,
    running_trainer,
    trainer_beside,
)
from tests.support.worker_client import WorkerClient


@pytest.fixture
async def trainer(s3: SeaweedFS, tmp_path: Path) -> AsyncIterator[TrainerHandle]:
    async with running_trainer(s3, tmp_path) as handle:
        yield handle


class AbsentBackend(HandBackend):
    """Cannot be asked for a while."""

    def __init__(self) -> None:
        super().__init__(slots=None)
        self.refusals = 2
        self.asked = 0

    async def launch(self, launch: ports.Launch) -> None:
        self.asked += 1
        if self.asked <= self.refusals:
            raise BackendUnavailable("The backend is away.")
        await super().launch(launch)

    async def attempts(self) -> list[str]:
        if self.asked <= self.refusals:
            raise BackendUnavailable("The backend is away.")
        return await super().attempts()


async def test_a_launch_waits_for_its_backend(s3: SeaweedFS, tmp_path: Path) -> None:
    backend = AbsentBackend()
    async with running_trainer(s3, tmp_path, backend=backend) as trainer:
        job = await trainer.create()
        worker = await trainer.claimed(job)
        await worker.succeed()
        assert backend.asked == 3
        assert (await trainer.get(job.name)).attempt == 1


async def test_a_worker_that_cannot_be_seen_is_not_lost(s3: SeaweedFS, tmp_path: Path) -> None:
    async with running_trainer(s3, tmp_path, heartbeat_timeout_s=0.2) as trainer:
        job = await trainer.create()
        worker = await trainer.worker(job)
        trainer.backend.seen[worker.attempt] = Observation(Sight.UNREACHABLE)
        await worker.claim()
        other = await trainer.create("other")
        with pytest.raises(AssertionError, match="not within"):
            await trainer.until(job.name, "RETRYING", within_s=1.5)
        assert (await trainer.get(other.name)).state == pb.TrainingJob.STATE_QUEUED
        await worker.succeed()


class BrokenBackend(HandBackend):
    """Breaks whenever it is asked about one job."""

    async def observe(self, attempt: str) -> Observation:
        if "broken" in attempt:
            raise RuntimeError("no idea")
        return await super().observe(attempt)


async def test_one_jobs_trouble_does_not_hold_up_the_others(s3: SeaweedFS, tmp_path: Path) -> None:
    async with running_trainer(s3, tmp_path, backend=BrokenBackend(slots=None)) as trainer:
        await trainer.claimed(await trainer.create("broken"))
        worker = await trainer.claimed(await trainer.create("whole"))
        trainer.backend.exits(worker.attempt)
        await trainer.claimed(await trainer.get(worker.attempt.rpartition("/attempts/")[0]), 2)


async def test_jobs_go_on_while_storage_is_away(s3: SeaweedFS, tmp_path: Path) -> None:
    async with running_storage(s3, tmp_path) as storage:
        away = replace(storage, target="127.0.0.1:1")
        async with (
            running_datasets(storage.trust.issuers_file) as (datasets, target),
            trainer_beside(away, datasets, target, tmp_path) as trainer,
        ):
            job = await trainer.create()
            worker = await trainer.claimed(job)
            with pytest.raises(errors.Unavailable):
                await worker.create("checkpoints/step-1", {"a.bin": b"a"})
            await worker.finish(worker_pb2.OUTCOME_FAILED, reason="S3_AWAY")
            await trainer.create("next")
            trainer.backend.exits(worker.attempt, 1)
            await trainer.claimed(await trainer.get(f"{job.name.rpartition('/')[0]}/next"))
        database = Database.open(databases.url_in(tmp_path, "trainer"))

        async def doomed() -> list[str]:
            async with UnitOfWork(database) as uow:
                return [folder.path for folder in await uow.folders.doomed(10)]

        assert await doomed() == ["checkpoints/step-1"]
        async with (
            running_datasets(storage.trust.issuers_file) as (datasets, target),
            trainer_beside(storage, datasets, target, tmp_path),
        ):

            async def swept() -> bool:
                return not await doomed()

            await eventually(swept)
        await database.close()


async def test_bytes_that_arrive_broken_can_be_sent_again(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.claimed(job)
    files = {"a.bin": b"right"}
    uploads = await worker.create("checkpoints/step-1", files)
    uploaded = await worker.put(uploads, {"a.bin": b"wrong"})
    with pytest.raises(errors.DataLoss):
        await worker.commit(1, uploaded)
    again = await worker.create("checkpoints/step-1", files)
    assert again.uploads[0].upload != uploads.uploads[0].upload
    await worker.commit(1, await worker.put(again, files))
    checkpoints = await trainer.call("ListCheckpoints", pb.ListCheckpointsRequest(parent=job.name))
    assert [each.size_bytes for each in checkpoints.checkpoints] == [5]


async def test_the_worker_of_a_deleted_job_is_told_that_it_is_stale(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.claimed(job)
    await worker.finish(worker_pb2.OUTCOME_FAILED)
    await trainer.call("DeleteTrainingJob", pb.DeleteTrainingJobRequest(name=job.name))
    with pytest.raises(errors.PermissionDenied) as refused:
        await worker.claim()
    assert refused.value.reason == "StaleAttempt"


async def test_a_launch_carries_the_trace_of_the_call_that_made_the_job(
    s3: SeaweedFS, tmp_path: Path
) -> None:
    class Tracing(HandBackend):
        traceparent = ""

        async def launch(self, launch: ports.Launch) -> None:
            Tracing.traceparent = launch.traceparent
            await super().launch(launch)

    async with running_trainer(s3, tmp_path, backend=Tracing()) as trainer:
        trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
        traced = ("traceparent", f"00-{trace_id}-00f067aa0ba902b7-01")
        metadata = [*trainer.trust.metadata(), traced]
        await trainer.worker(await trainer.stub.CreateTrainingJob(create_request(), metadata=metadata))
        assert Tracing.traceparent.split("-")[1] == trace_id


async def test_an_attempt_keeps_so_many_lines_and_a_job_so_many_and_say_when_they_stop(
    trainer: TrainerHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "MOST_LOG_LINES", 5)
    monkeypatch.setattr(attempts, "MOST_LOG_LINES_OF_JOB", 7)
    job = await trainer.create()
    worker = await trainer.claimed(job)
    for number in range(4):
        await worker.report(log_lines=[pb.LogLine(message=f"{number}-{line}") for line in range(2)])
    answer = await trainer.call("ListLogLines", pb.ListLogLinesRequest(parent=job.name))
    messages = [line.message for line in answer.log_lines]
    assert messages[:4] == ["0-0", "0-1", "1-0", "1-1"]
    assert "dropped" in messages[4]
    assert len(messages) == 5
    # The next attempt has room of its own, as long as the job has.
    await worker.finish(worker_pb2.OUTCOME_RETRY)
    trainer.backend.exits(worker.attempt, 75)
    second = await trainer.claimed(job, 2)
    await second.report(log_lines=[pb.LogLine(message=f"second-{line}") for line in range(3)])
    answer = await trainer.call("ListLogLines", pb.ListLogLinesRequest(parent=job.name))
    messages = [line.message for line in answer.log_lines]
    assert messages[5] == "second-0"
    assert "dropped" in messages[6]
    assert len(messages) == 7


async def test_every_list_comes_page_by_page(trainer: TrainerHandle) -> None:
    job = await trainer.create(checkpointing=pb.Checkpointing(keep=5))
    worker = await trainer.claimed(job)
    for step in (1, 2, 3):
        await worker.metrics(step, loss=float(step))
        await worker.report(
            log_lines=[pb.LogLine(message=str(step))], samples=[pb.Sample(example=f"e{step}")]
        )
        await worker.checkpoint(step)
    await finish_with_two(worker)
    for method, request, field in (
        ("ListEvents", pb.ListEventsRequest, "events"),
        ("ListMetrics", pb.ListMetricsRequest, "points"),
        ("ListLogLines", pb.ListLogLinesRequest, "log_lines"),
        ("ListSamples", pb.ListSamplesRequest, "samples"),
        ("ListArtifacts", pb.ListArtifactsRequest, "artifacts"),
    ):
        whole = getattr(await trainer.call(method, request(parent=job.name)), field)
        pages, token = [], ""
        while True:
            answer = await trainer.call(method, request(parent=job.name, page_size=1, page_token=token))
            pages += getattr(answer, field)
            token = answer.next_page_token
            if not token:
                break
        assert len(whole) > 1, method
        if method != "ListArtifacts":  # URLs are signed afresh
            assert pages == list(whole), method
        assert len(pages) == len(whole), method
        with pytest.raises(errors.InvalidArgument):
            await trainer.call(method, request(parent=job.name, page_token="nonsense"))


async def finish_with_two(worker: WorkerClient) -> None:
    artifacts = []
    for name in ("model", "report"):
        uploaded = await worker.upload(f"artifacts/{name}", {"a.bin": b"x"})
        artifacts.append(worker_pb2.ArtifactUploads(artifact=name, files=uploaded))
    await worker.finish(artifacts=artifacts)


async def test_a_loss_that_the_worker_told_is_not_charged_again_when_its_pod_ends(
    trainer: TrainerHandle,
) -> None:
    job = await trainer.create(resources=pb.Resources(max_attempts=2))
    first = await trainer.claimed(job)
    told = {"reason": "RANK_LOST", "message": "Rank 1 ended without a word."}
    assert await first.finish(worker_pb2.OUTCOME_RETRY, **told) == pb.TrainingJob.STATE_RETRYING
    trainer.backend.exits(first.attempt, 75)
    second = await trainer.claimed(job, 2)
    trainer.backend.exits(first.attempt, 75)
    assert await second.succeed() == pb.TrainingJob.STATE_SUCCEEDED
