"""Jobs that go on from the checkpoint of an earlier job."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune.worker.v1 import worker_pb2
from visiontune_kit import errors

from tests.support.s3 import SeaweedFS
from tests.support.trainer import PARENT, TrainerHandle, create_request, running_trainer

# 64 training examples: 4 steps an epoch.
BATCH: Any = {"batch_size": 16}


@pytest.fixture
async def trainer(s3: SeaweedFS, tmp_path: Path) -> AsyncIterator[TrainerHandle]:
    async with running_trainer(s3, tmp_path) as handle:
        yield handle


def asked(epochs: float, checkpoint: str, **spec: Any) -> dict[str, Any]:
    return {
        "hyperparameters": pb.Hyperparameters(epochs=epochs, **BATCH),
        "resume_from": pb.ResumeFrom(checkpoint=checkpoint),
        **spec,
    }


async def earlier(trainer: TrainerHandle) -> pb.TrainingJob:
    """A job of two epochs that SUCCEEDED, with a checkpoint of its last step."""
    job = await trainer.create("earlier", hyperparameters=pb.Hyperparameters(epochs=2, **BATCH))
    worker = await trainer.claimed(job)
    await worker.checkpoint(8, b"state of step 8")
    await worker.succeed()
    trainer.backend.exits(worker.attempt, 0)
    return job


async def problems(trainer: TrainerHandle, request: pb.CreateTrainingJobRequest) -> list[tuple[str, str]]:
    dry = pb.ValidateTrainingJobRequest(parent=request.parent, training_job=request.training_job)
    project = request.parent.split("/")[1]
    answer = await trainer.call("ValidateTrainingJob", dry, project=project)
    return [(each.field.removeprefix("training_job.spec."), each.rule) for each in answer.problems]


async def test_a_job_goes_on_until_it_has_a_checkpoint_of_its_own(trainer: TrainerHandle) -> None:
    before = await earlier(trainer)
    job = await trainer.create("more", **asked(3, before.name))
    resumed = job.resolved_spec.resume_from
    assert resumed.checkpoint == f"{before.name}/checkpoints/step-8"
    assert (resumed.step, resumed.data_start_step, job.progress.total_steps) == (8, 0, 12)
    worker = await trainer.worker(job)
    claim = await worker.claim()
    [file] = claim.resume_from.files
    assert claim.resume_from.step == 8
    assert (await trainer.storage.http.get(file.url)).content == b"state of step 8"
    await worker.checkpoint(10, b"state of step 10")
    assert (await worker.claim()).resume_from.step == 10


async def test_on_other_data_the_passes_begin_anew_and_the_steps_do_not(trainer: TrainerHandle) -> None:
    before = await earlier(trainer)
    request = create_request("other", dataset="talk", **asked(1, f"{before.name}/checkpoints/step-8"))
    job = await trainer.call("CreateTrainingJob", request)
    resumed = job.resolved_spec.resume_from
    assert (resumed.step, resumed.data_start_step, job.progress.total_steps) == (8, 8, 12)
    worker = await trainer.claimed(job)
    await worker.checkpoint(12, b"state of step 12")
    await worker.succeed()
    trainer.backend.exits(worker.attempt, 0)
    job = await trainer.create("third", dataset="talk", **asked(2, job.name))
    resumed = job.resolved_spec.resume_from  # The data is that of the second, which began it at step 8.
    assert (resumed.step, resumed.data_start_step, job.progress.total_steps) == (12, 8, 16)


async def test_what_failed_keeps_its_newest_checkpoint_to_go_on_from(trainer: TrainerHandle) -> None:
    job = await trainer.create("earlier", hyperparameters=pb.Hyperparameters(epochs=2, **BATCH))
    worker = await trainer.claimed(job)
    for step in (2, 4):
        await worker.checkpoint(step, f"state of step {step}".encode())
    await worker.finish(worker_pb2.OUTCOME_FAILED, reason="LOSS_NOT_FINITE", message="As told.")
    trainer.backend.exits(worker.attempt, 64)
    await trainer.until(job.name, "FAILED")
    again = await trainer.create("again", **asked(2, job.name))
    assert again.resolved_spec.resume_from.checkpoint == f"{job.name}/checkpoints/step-4"
    claim = await (await trainer.worker(again)).claim()
    [file] = claim.resume_from.files
    assert (await trainer.storage.http.get(file.url)).content == b"state of step 4"


async def test_what_cannot_be_gone_on_from_is_refused(trainer: TrainerHandle) -> None:
    before = await earlier(trainer)
    running = await trainer.create("running")
    checkpoint = "resume_from.checkpoint"
    cases = {
        f"{PARENT}/trainingJobs/none": (checkpoint, "unknown_checkpoint"),
        f"{before.name}/checkpoints/step-4": (checkpoint, "checkpoint_not_kept"),
        running.name: (checkpoint, "checkpoint_not_kept"),
    }
    for name, expected in cases.items():
        assert await problems(trainer, create_request("x", **asked(3, name))) == [expected]
    assert await problems(trainer, create_request("x", **asked(2, before.name))) == [
        ("resume_from", "nothing_left")
    ]
    with pytest.raises(errors.NotFound):  # Refused before anything is looked up.
        await problems(trainer, create_request("x", **asked(3, "projects/other/trainingJobs/earlier")))
    other = asked(3, before.name, adaptation=pb.Adaptation(vision_tower=pb.Adaptation.PART_FREEZE))
    assert await problems(trainer, create_request("x", **other)) == [("adaptation", "resumed_differently")]


async def test_a_checkpoint_that_was_deleted_meanwhile_fails_the_claim(trainer: TrainerHandle) -> None:
    before = await earlier(trainer)
    job = await trainer.create("more", **asked(3, before.name))
    await trainer.call("DeleteTrainingJob", pb.DeleteTrainingJobRequest(name=before.name))
    worker = await trainer.worker(job)
    with pytest.raises(errors.FailedPrecondition) as refused:
        await worker.claim()
    assert refused.value.reason == "CheckpointGone"
