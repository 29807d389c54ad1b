"""The trainer as a program, the real worker as its child: killed, restarted, and what is left."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from visiontune.dataset.v1 import dataset_pb2
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune.trainer.v1 import trainer_pb2_grpc
from visiontune_kit import channels, errors

from tests.support import databases
from tests.support.eventually import eventually
from tests.support.fake_services import FakeDatasets, running_datasets
from tests.support.s3 import SeaweedFS
from tests.support.storage import StorageHandle, running_storage
from tests.support.trainer import TrainerHandle
from tests.support.worker_data import row, write_shards

pytestmark = [pytest.mark.slow, pytest.mark.chaos]


class TrainerProgram:
    """`python -m visiontune_trainer` on a port that stays the same over restarts."""

    def __init__(self, folder: Path, storage: StorageHandle, dataset_target: str) -> None:
        self.port = free_port()
        self._log = folder / "trainer.log"
        self._environment = {
            **os.environ,
            "VISIONTUNE_TRAINER_PORT": str(self.port),
            "VISIONTUNE_TRAINER_DATABASE_URL": databases.migrated_in(folder, "trainer"),
            "VISIONTUNE_TRAINER_SIGNING_KEY_FILE": str(storage.trust.key_file("trainer")),
            "VISIONTUNE_TRAINER_RETRY_FIRST_S": "0.2",
            "VISIONTUNE_ISSUERS_FILE": str(storage.trust.issuers_file),
            "VISIONTUNE_STORAGE_TARGET": storage.target,
            "VISIONTUNE_DATASET_TARGET": dataset_target,
            "VISIONTUNE_SCRATCH_DIR": str(folder / "scratch"),
            "VISIONTUNE_WORKER_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "visiontune_trainer"],
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def end(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(30)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def serve_digits(datasets: FakeDatasets, storage: StorageHandle, folder: Path, count: int) -> None:
    """Puts real shards into storage and lets the stand-in name them."""
    manifest = write_shards(folder / "shards", [row(index) for index in range(count)], shards=2)
    datasets.splits = manifest.facts.split_counts
    datasets.shards = []
    for shard in manifest.shards:
        content = (folder / "shards" / f"shard-{shard.index}.parquet").read_bytes()
        upload = await storage.upload(content, owner="projects/default/datasets/digits")
        [url] = await storage.sign(upload.object)
        datasets.shards.append(
            dataset_pb2.Shard(
                index=shard.index,
                sha256=shard.sha256,
                row_count=shard.rows,
                size_bytes=shard.size_bytes,
                split_counts=shard.split_counts,
                url=url,
            )
        )


@asynccontextmanager
async def running_program(s3: SeaweedFS, folder: Path) -> AsyncIterator[tuple[TrainerProgram, TrainerHandle]]:
    async with running_storage(s3, folder, sweep_interval_s=0.5) as storage:
        issuers = storage.trust.issuers_file
        async with running_datasets(issuers) as (datasets, dataset_target):
            await serve_digits(datasets, storage, folder, count=120)
            program = await asyncio.to_thread(TrainerProgram, folder, storage, dataset_target)
            target = f"127.0.0.1:{program.port}"
            program.start()
            try:
                async with channels.connect(target) as channel:
                    stub = trainer_pb2_grpc.TrainerServiceStub(channel)
                    yield (
                        program,
                        TrainerHandle(target, stub, channel, None, datasets, storage, storage.trust),
                    )
            finally:
                await asyncio.to_thread(program.end, signal.SIGTERM)


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
            return owners == {"checkpoints", "artifacts"} and len(await checkpoint_owners()) == 1

        async def checkpoint_owners() -> set[str]:
            return {owner for owner in await trainer.objects(job.name) if "/checkpoints/" in owner}

        await eventually(only_results_are_left, within_s=20)


async def answers(trainer: TrainerHandle) -> bool:
    request = pb.ListTrainingJobsRequest(parent="projects/default")
    try:
        await trainer.call("ListTrainingJobs", request)
    except errors.Unavailable:
        return False
    return True
