"""Jobs that make room and go on: what users ask, what workers hear, what it costs."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune.worker.v1 import worker_pb2
from visiontune_kit import errors

from tests.support.s3 import SeaweedFS
from tests.support.trainer import TrainerHandle, running_trainer

STATE = pb.TrainingJob


@pytest.fixture
async def trainer(s3: SeaweedFS, tmp_path: Path) -> AsyncIterator[TrainerHandle]:
    async with running_trainer(s3, tmp_path) as handle:
        yield handle


async def pause(trainer: TrainerHandle, name: str, request_id: str = "") -> pb.TrainingJob:
    request = pb.PauseTrainingJobRequest(name=name, request_id=request_id)
    found: pb.TrainingJob = await trainer.call("PauseTrainingJob", request)
    return found


async def resume(trainer: TrainerHandle, name: str) -> pb.TrainingJob:
    found: pb.TrainingJob = await trainer.call("ResumeTrainingJob", pb.ResumeTrainingJobRequest(name=name))
    return found


async def test_a_paused_job_frees_its_place_and_goes_on_from_its_checkpoint(trainer: TrainerHandle) -> None:
    job = await trainer.create(resources=pb.Resources(max_attempts=1))
    first = await trainer.claimed(job)
    waiting = await trainer.create("waiting")  # one slot
    request_id = str(uuid.uuid4())
    asked = await pause(trainer, job.name, request_id)
    assert (asked.pause_requested, asked.state) == (True, STATE.STATE_RUNNING)
    assert (await first.report()).order == worker_pb2.ReportResponse.ORDER_PAUSE
    await first.checkpoint(7)
    assert await first.finish(worker_pb2.OUTCOME_PAUSED, reason="PAUSED") == STATE.STATE_PAUSED
    assert await first.finish(worker_pb2.OUTCOME_PAUSED, reason="PAUSED") == STATE.STATE_PAUSED
    trainer.backend.exits(first.attempt, 0)
    paused = await trainer.get(job.name)
    assert (paused.pause_requested, paused.attempt, paused.uncharged_attempts) == (False, 1, 1)
    assert (paused.state_reason, paused.progress.phase) == ("PAUSED", "")
    # Asked once more: by the same request, by another one, and both change nothing.
    assert await pause(trainer, job.name, request_id) == asked
    assert await pause(trainer, job.name) == paused
    other = await trainer.claimed(waiting)
    await other.succeed()
    trainer.backend.exits(other.attempt, 0)
    assert (await resume(trainer, job.name)).state == STATE.STATE_QUEUED
    # The only attempt that it may have was not used up.
    second = await trainer.worker(job, 2)
    assert (await second.claim()).resume_from.step == 7
    assert (await resume(trainer, job.name)).state == STATE.STATE_RUNNING
    assert await second.succeed() == STATE.STATE_SUCCEEDED
    reasons = await trainer.events(job.name)
    assert reasons[3:-1] == [
        "PAUSE_REQUESTED",
        "CHECKPOINT_SAVED",
        "PAUSED",
        "RESUMED",
        "ATTEMPT_LAUNCHED",
        "ATTEMPT_STARTED",
    ]


async def test_a_job_without_a_worker_is_paused_at_once(trainer: TrainerHandle) -> None:
    await trainer.claimed(await trainer.create("first"))
    second = await trainer.create("second")  # one slot: it waits
    paused = await pause(trainer, second.name)
    assert (paused.state, paused.uncharged_attempts) == (STATE.STATE_PAUSED, 0)
    with pytest.raises(errors.FailedPrecondition) as refused:
        await trainer.call("DeleteTrainingJob", pb.DeleteTrainingJobRequest(name=second.name))
    assert refused.value.reason == "JobRuns"
    assert (await resume(trainer, second.name)).state == STATE.STATE_QUEUED
    await pause(trainer, second.name)
    cancelled = await trainer.call("CancelTrainingJob", pb.CancelTrainingJobRequest(name=second.name))
    assert cancelled.state == STATE.STATE_CANCELLED


async def test_a_worker_that_has_not_begun_is_stopped_and_costs_no_attempt(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.worker(job)
    await pause(trainer, job.name)
    paused = await trainer.until(job.name, "PAUSED")
    assert (paused.attempt, paused.uncharged_attempts) == (1, 1)
    assert worker.attempt in trainer.backend.stopped


async def test_a_worker_that_does_not_leave_is_stopped(s3: SeaweedFS, tmp_path: Path) -> None:
    async with running_trainer(s3, tmp_path, pause_grace_s=0.1, heartbeat_timeout_s=1.0) as trainer:
        job = await trainer.create()
        worker = await trainer.claimed(job)
        await pause(trainer, job.name)
        paused = await trainer.until(job.name, "PAUSED")
        assert (paused.attempt, paused.uncharged_attempts) == (1, 1)
        assert worker.attempt in trainer.backend.stopped


async def test_who_resumes_in_the_last_moment_loses_nothing(trainer: TrainerHandle) -> None:
    job = await trainer.create(resources=pb.Resources(max_attempts=1))
    worker = await trainer.claimed(job)
    await pause(trainer, job.name)
    assert (await worker.report()).order == worker_pb2.ReportResponse.ORDER_PAUSE
    assert not (await resume(trainer, job.name)).pause_requested
    assert (await worker.report()).order == worker_pb2.ReportResponse.ORDER_CONTINUE
    # It had obeyed already.
    assert await worker.finish(worker_pb2.OUTCOME_PAUSED) == STATE.STATE_RETRYING
    trainer.backend.exits(worker.attempt, 0)
    second = await trainer.claimed(job, 2)
    assert await second.succeed() == STATE.STATE_SUCCEEDED


async def test_an_end_that_is_decided_is_not_paused(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.claimed(job)
    await trainer.call("CancelTrainingJob", pb.CancelTrainingJobRequest(name=job.name))
    for ask in (pause, resume):
        with pytest.raises(errors.FailedPrecondition) as refused:
            await ask(trainer, job.name)
        assert refused.value.reason == "JobBeingCancelled"
    await worker.finish(worker_pb2.OUTCOME_CANCELLED)
    for ask in (pause, resume):
        with pytest.raises(errors.FailedPrecondition, match=ask.__name__) as refused:
            await ask(trainer, job.name)
        assert refused.value.reason == "JobEnded"
