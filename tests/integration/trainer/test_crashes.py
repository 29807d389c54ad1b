"""What is left when the trainer dies right after a commit, before its answer: the call comes again."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune.worker.v1 import worker_pb2
from visiontune_kit import errors, faults

from tests.support.eventually import eventually
from tests.support.s3 import SeaweedFS
from tests.support.trainer import TrainerHandle, running_trainer
from tests.support.worker_client import WorkerClient

pytestmark = pytest.mark.chaos

POINTS = (
    "launch.before",
    "launch.after",
    "folder.after_commit",
    "checkpoint.after_commit",
    "finish.after_commit",
    "sweep.before_commit",
    "log.before_commit",
)


class Fault:
    """Breaks the first passage of one point, as a death there would: what was committed stays."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.struck = False

    def __call__(self, name: str) -> None:
        if name == self.name and not self.struck:
            self.struck = True
            raise RuntimeError(f"died at {name}")


async def persistently(call: Callable[[], Awaitable[object]]) -> object:
    """Calls again after a lost answer, as the worker does."""
    for _ in range(5):
        try:
            return await call()
        except errors.Internal:
            continue
    raise AssertionError("the trainer never answered")


async def work(worker: WorkerClient) -> None:
    """One attempt with two checkpoints, of which one is to be kept."""
    await persistently(lambda: worker.claim("w"))
    await worker.report(log_lines=[pb.LogLine(message="begun")])
    for step in (1, 2):
        files = {"a.bin": f"{step}".encode()}
        folder = f"checkpoints/step-{step}"
        uploads = await persistently(lambda folder=folder, files=files: worker.create(folder, files))  # type: ignore[misc]  # defaults bind the loop
        assert isinstance(uploads, worker_pb2.CreateFileUploadsResponse)
        uploaded = await worker.put(uploads, files)
        await persistently(lambda step=step, uploaded=uploaded: worker.commit(step, uploaded))  # type: ignore[misc]  # likewise
    result = await worker.upload("artifacts/model", {"model.safetensors": b"weights"})
    artifacts = [worker_pb2.ArtifactUploads(artifact="model", files=result)]
    await persistently(lambda: worker.finish(artifacts=artifacts))


async def current_worker(trainer: TrainerHandle, job: pb.TrainingJob) -> WorkerClient:
    attempt = (await trainer.get(job.name)).attempt
    return await trainer.worker(job, max(attempt, 1))


@pytest.mark.parametrize("point", POINTS)
async def test_a_death_at_any_point_loses_and_leaves_nothing(
    s3: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    fault = Fault(point)
    monkeypatch.setattr(faults, "point", fault)
    async with running_trainer(s3, tmp_path) as trainer:
        job = await trainer.create(checkpointing=pb.Checkpointing(keep=1))
        await work(await current_worker(trainer, job))
        done = await trainer.get(job.name)
        assert done.state == pb.TrainingJob.STATE_SUCCEEDED
        assert done.attempt == 1

        async def swept() -> bool:
            return len(await trainer.objects()) == 3

        await eventually(swept)
        await eventually(lambda: fault.struck)
        assert set(await trainer.objects()) == {
            f"{job.name}/checkpoints/step-2/attempts/1",
            f"{job.name}/artifacts/model/attempts/1",
            f"{job.name}/logs/attempt-1/attempts/1",
        }
        assert await trainer.events(job.name) == [
            "QUEUED",
            "ATTEMPT_LAUNCHED",
            "ATTEMPT_STARTED",
            "CHECKPOINT_SAVED",
            "CHECKPOINT_SAVED",
            "SUCCEEDED",
        ]
