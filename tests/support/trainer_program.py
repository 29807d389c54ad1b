"""The trainer as a program, whose children are real workers, beside real storage and real shards."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from visiontune.dataset.v1 import dataset_pb2
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune.trainer.v1 import trainer_pb2_grpc
from visiontune_kit import channels, errors

from tests.support import databases, warm_worker
from tests.support.fake_services import FakeDatasets, running_datasets
from tests.support.s3 import SeaweedFS
from tests.support.storage import StorageHandle, running_storage
from tests.support.trainer import TrainerHandle
from tests.support.worker_data import row, write_shards


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
            **warm_worker.variables(),
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


async def answers(trainer: TrainerHandle) -> bool:
    request = pb.ListTrainingJobsRequest(parent="projects/default")
    try:
        await trainer.call("ListTrainingJobs", request)
    except errors.Unavailable:
        return False
    return True
