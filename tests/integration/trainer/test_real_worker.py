"""The trainer as a program, the real worker as its child: killed, restarted, and what is left."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from visiontune.trainer.v1 import trainer_pb2 as pb

from tests.support.eventually import eventually
from tests.support.s3 import SeaweedFS
from tests.support.trainer import TrainerHandle
from tests.support.trainer_program import answers, running_program

pytestmark = [pytest.mark.slow, pytest.mark.chaos]


def workers(folder: Path) -> list[int]:
    """Pids of the workers that have a run file."""
    return [int(path.read_text().split()[0]) for path in (folder / "scratch").glob("attempts/*/run")]


def running_workers(folder: Path) -> list[int]:
    return [pid for pid in workers(folder) if not is_gone(pid)]


def is_gone(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


async def until_step(trainer: TrainerHandle, name: str, step: int) -> pb.TrainingJob:
    async def reached() -> pb.TrainingJob | None:
        job = await trainer.get(name)
        assert job.state != pb.TrainingJob.STATE_FAILED, job.state_message
        return job if job.progress.step >= step else None

    found: pb.TrainingJob = await eventually(reached, within_s=90, every_s=0.1)
    return found


async def test_a_job_survives_the_death_and_the_restart_of_its_trainer_and_the_death_of_its_worker(
    s3: SeaweedFS, tmp_path: Path
) -> None:
    async with running_program(s3, tmp_path) as (program, trainer):
        await eventually(lambda: answers(trainer), within_s=30, every_s=0.2)
        job = await trainer.create(
            hyperparameters=pb.Hyperparameters(epochs=10, batch_size=16),
            checkpointing=pb.Checkpointing(every_steps=5),
            evaluation=pb.Evaluation(every_steps=1_000, max_examples=8, sample_count=2),
        )
        await until_step(trainer, job.name, 6)
        [first] = workers(tmp_path)
        await asyncio.to_thread(program.end, signal.SIGKILL)
        assert not is_gone(first)
        program.start()
        await eventually(lambda: answers(trainer), within_s=30, every_s=0.2)
        adopted = await until_step(trainer, job.name, 15)
        assert adopted.attempt == 1
        assert workers(tmp_path) == [first]
        # A stop that is asked for lets the worker save where it is, and leaves none behind.
        await asyncio.to_thread(program.end, signal.SIGTERM)
        assert is_gone(first)
        program.start()
        await eventually(lambda: answers(trainer), within_s=30, every_s=0.2)
        assert "PREEMPTED" in (reasons := await trainer.events(job.name)), reasons
        [second] = await eventually(lambda: running_workers(tmp_path), within_s=30)
        await until_step(trainer, job.name, 30)
        os.kill(second, signal.SIGKILL)
        done = await trainer.until(job.name, "SUCCEEDED", within_s=120)
        assert done.attempt == 3
        reasons = await trainer.events(job.name)
        assert reasons.count("ATTEMPT_STARTED") == 3
        points = await trainer.call("ListMetrics", pb.ListMetricsRequest(parent=job.name))
        steps = [point.step for point in points.points if "loss" in point.values]
        assert steps == sorted(set(steps))
        assert steps[-1] == done.progress.total_steps
        artifacts = await trainer.call("ListArtifacts", pb.ListArtifactsRequest(parent=job.name))
        assert [each.name.rpartition("/")[2] for each in artifacts.artifacts] == ["model"]
        await eventually(lambda: not workers(tmp_path), within_s=20)
        assert os.listdir(tmp_path / "scratch" / "attempts") == []  # noqa: PTH208 - the names are the point

        async def only_results_are_left() -> bool:
            owners = {owner.split("/")[4] for owner in await trainer.objects(job.name)}
            return owners == {"checkpoints", "artifacts", "logs"} and len(await checkpoint_owners()) == 1

        async def checkpoint_owners() -> set[str]:
            return {owner for owner in await trainer.objects(job.name) if "/checkpoints/" in owner}

        await eventually(only_results_are_left, within_s=20)
