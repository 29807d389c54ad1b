"""Every server demands certificates, and a worker has none: which doors are open to it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune.trainer.v1 import trainer_pb2_grpc
from visiontune_kit import channels, errors
from visiontune_kit.tls import ClientTls
from visiontune_worker.attempt import Attempt
from visiontune_worker.interrupts import Interrupts

from tests.support import certificates
from tests.support.eventually import eventually
from tests.support.fake_services import running_datasets
from tests.support.s3 import SeaweedFS
from tests.support.storage import running_storage
from tests.support.trainer import TrainerHandle, create_request, trainer_beside
from tests.support.worker_client import WorkerClient

SHUT = (errors.Unavailable, errors.DeadlineExceeded)


@dataclass(frozen=True)
class Doors:
    """A trainer under mTLS, and who knocks."""

    trainer: TrainerHandle
    public: str
    workers: str
    server: ClientTls  # what another server shows
    worker: ClientTls  # what a worker has: the CA

    async def get(self, target: str, tls: ClientTls | None, name: str) -> pb.TrainingJob:
        """GetTrainingJob as a user whom the trainer believes."""
        async with channels.connect(target, tls=tls) as channel:
            stub: Any = trainer_pb2_grpc.TrainerServiceStub(channel)
            found: pb.TrainingJob = await stub.GetTrainingJob(
                pb.GetTrainingJobRequest(name=name), metadata=self.trainer.trust.metadata(), timeout=2
            )
            return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def by_name(target: str) -> str:
    """The same place by the name that stands in the certificate."""
    return target.replace("127.0.0.1", "localhost")


@pytest.fixture
async def doors(s3: SeaweedFS, tmp_path: Path) -> AsyncIterator[Doors]:
    authority = certificates.make(tmp_path / "tls")
    own = authority.client("localhost")
    files: dict[str, Any] = {
        "tls_certificate_file": own.certificate_file,
        "tls_key_file": own.key_file,
        "tls_ca_file": own.ca_file,
    }
    port = free_port()
    async with (
        running_storage(s3, tmp_path, **files) as storage,
        running_datasets(storage.trust.issuers_file, **files) as (datasets, datasets_target),
        trainer_beside(
            storage,
            datasets,
            by_name(datasets_target),
            tmp_path,
            storage_target=by_name(storage.target),
            worker_port=port,
            **files,
        ) as trainer,
    ):
        yield Doors(trainer, by_name(trainer.target), f"localhost:{port}", own, ClientTls(authority.ca_file))


@pytest.fixture
async def job(doors: Doors) -> pb.TrainingJob:
    async with channels.connect(doors.public, tls=doors.server) as channel:
        stub: Any = trainer_pb2_grpc.TrainerServiceStub(channel)
        made: pb.TrainingJob = await stub.CreateTrainingJob(
            create_request(), metadata=doors.trainer.trust.metadata()
        )
        return made


async def test_a_worker_without_a_certificate_claims_its_attempt(doors: Doors, job: pb.TrainingJob) -> None:
    name = f"{job.name}/attempts/1"
    token = await eventually(lambda: doors.trainer.backend.launched.get(name))

    def claim() -> str:
        attempt = Attempt(
            target=doors.workers,
            name=name,
            token=token,
            worker_id="w",
            interrupts=Interrupts(),
            patience_s=5,
            tls=doors.worker,
        )
        with attempt:
            return attempt.claim().spec_digest

    assert await asyncio.to_thread(claim) == job.spec_digest


async def test_the_workers_door_leads_to_nothing_else(doors: Doors, job: pb.TrainingJob) -> None:
    for tls in (doors.worker, doors.server):
        with pytest.raises(errors.Unimplemented):
            await doors.get(doors.workers, tls, job.name)
    with pytest.raises(SHUT):
        await doors.get(doors.workers, None, job.name)


async def test_the_public_door_still_asks_for_a_certificate(doors: Doors, job: pb.TrainingJob) -> None:
    assert (await doors.get(doors.public, doors.server, job.name)).name == job.name
    for tls in (doors.worker, None):
        with pytest.raises(SHUT):
            await doors.get(doors.public, tls, job.name)


async def test_workers_are_not_served_at_the_public_door(doors: Doors, job: pb.TrainingJob) -> None:
    name = f"{job.name}/attempts/1"
    token = await eventually(lambda: doors.trainer.backend.launched.get(name))
    async with channels.connect(doors.public, tls=doors.server) as channel:
        with pytest.raises(errors.Unimplemented):
            await WorkerClient(channel, doors.trainer.storage.http, name, token).claim()
