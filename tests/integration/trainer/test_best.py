"""What the trainer keeps of evaluations: the best checkpoint, and every answer to the samples."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from visiontune.trainer.v1 import trainer_pb2 as pb

from tests.support.s3 import SeaweedFS
from tests.support.trainer import TrainerHandle, running_trainer


@pytest.fixture
async def trainer(s3: SeaweedFS, tmp_path: Path) -> AsyncIterator[TrainerHandle]:
    async with running_trainer(s3, tmp_path) as handle:
        yield handle


async def kept(trainer: TrainerHandle, job: str) -> list[tuple[int, bool]]:
    """Step of each checkpoint, and whether it is the best."""
    found = await trainer.call("ListCheckpoints", pb.ListCheckpointsRequest(parent=job))
    return [(each.step, each.is_best) for each in found.checkpoints]


async def test_the_best_checkpoint_stays_and_is_given_to_the_next_attempt(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    first = await trainer.claimed(job)
    await first.checkpoint(10, b"ten")
    await first.checkpoint(20, b"twenty", best_step=10)
    best = pb.BestEvaluation(step=10, metric="loss", value=0.5, evaluations_without_progress=2)
    await first.report(progress=pb.Progress(step=30, total_steps=60, best=best))
    await first.checkpoint(30, best_step=10)
    await first.checkpoint(40, best_step=10)
    assert await kept(trainer, job.name) == [(40, False), (30, False), (10, True)]
    assert (await trainer.get(job.name)).progress.best == best
    trainer.backend.exits(first.attempt, -9, "Killed")
    second = await trainer.worker(job, 2)
    claim = await second.claim("w-2")
    assert (claim.resume_from.step, claim.best.step) == (40, 10)
    assert (await trainer.storage.http.get(claim.best.files[0].url)).content == b"ten"
    await second.succeed(best_step=10, message="Stopped early at step 40 of 60: no progress.")
    done = await trainer.get(job.name)
    assert done.state_message == "Stopped early at step 40 of 60: no progress."
    assert await kept(trainer, job.name) == [(40, False), (10, True)]


async def test_a_best_step_without_a_checkpoint_is_no_best_checkpoint(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    first = await trainer.claimed(job)
    await first.checkpoint(20, best_step=15)
    trainer.backend.exits(first.attempt, -9, "Killed")
    claim = await (await trainer.worker(job, 2)).claim("w-2")
    assert claim.resume_from.step == 20
    assert not claim.HasField("best")


async def test_every_answer_to_a_sample_is_kept_and_shown_when_asked_for(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.claimed(job)
    names = [f"{job.spec.dataset_version}/examples/{row}" for row in range(6)]
    await worker.report(samples=[pb.Sample(example=name, before="1") for name in names])
    for step, said in ((10, "3"), (20, ""), (10, "4"), (30, "7")):
        samples = [pb.Sample(example=name, before="1", after=said, after_step=step) for name in names]
        await worker.report(samples=samples)

    plain = await trainer.call("ListSamples", pb.ListSamplesRequest(parent=job.name))
    assert [(each.example, each.after, len(each.answers)) for each in plain.samples] == [
        (name, "7", 0) for name in names
    ]
    request = pb.ListSamplesRequest(parent=job.name, with_answers=True)
    page = await trainer.call("ListSamples", request)
    assert [each.example for each in page.samples] == names[:4]
    assert [(each.step, each.text) for each in page.samples[0].answers] == [
        (0, "1"),
        (10, "4"),
        (20, ""),
        (30, "7"),
    ]
    request.page_token = page.next_page_token
    assert [each.example for each in (await trainer.call("ListSamples", request)).samples] == names[4:]
    one = pb.ListSamplesRequest(parent=job.name, example=names[5], with_answers=True)
    [sample] = (await trainer.call("ListSamples", one)).samples
    assert (sample.example, len(sample.answers)) == (names[5], 4)


async def test_samples_of_a_model_without_answers_have_none(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.claimed(job)
    await worker.report(samples=[pb.Sample(example="e", after_step=10)])
    request = pb.ListSamplesRequest(parent=job.name, with_answers=True)
    [sample] = (await trainer.call("ListSamples", request)).samples
    assert not sample.answers
