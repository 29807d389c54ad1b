"""The real trainer for tests: over gRPC, with its own database and the real storage service beside it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from visiontune.storage.v1 import storage_pb2
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune.trainer.v1 import trainer_pb2_grpc
from visiontune_kit import channels, server
from visiontune_kit.clock import Clock
from visiontune_kit.errors import Unauthenticated
from visiontune_kit.identity import Role
from visiontune_recipes.check import Problem
from visiontune_recipes.spec import Resources
from visiontune_trainer import app, ports
from visiontune_trainer.domain.next_step import Observation, Sight
from visiontune_trainer.domain.usage import MachineTime
from visiontune_trainer.settings import Settings

from tests.support import databases, trust
from tests.support.eventually import eventually
from tests.support.fake_services import FakeDatasets, running_datasets
from tests.support.s3 import SeaweedFS
from tests.support.storage import StorageHandle, running_storage
from tests.support.worker_client import WorkerClient

PARENT = "projects/default"


class HandBackend:
    """Compute at its process border: launches are noted, and the test says what is seen of a worker."""

    def __init__(self, slots: int | None = 1) -> None:
        self.slots = slots
        self.patience_with_strangers = timedelta(0)
        self.launched: dict[str, str] = {}  # attempt -> token
        self.seen: dict[str, Observation] = {}
        self.stopped: list[str] = []
        self.is_closed = False
        self.refusal: Exception | None = None
        self.times: list[MachineTime] = []
        self.kinds: list[ports.AcceleratorKind] = []
        self.waiting = ""  # what is seen of a worker that was launched
        self.machine_tokens: dict[str, str] = {}  # machine's token -> attempt

    def problems_of(self, resources: Resources) -> list[Problem]:
        return []

    def accelerators(self) -> list[ports.AcceleratorKind]:
        return self.kinds

    async def attempt_of(self, machine_token: str) -> str:
        if machine_token not in self.machine_tokens:
            raise Unauthenticated("This is no token of a worker.", reason="InvalidToken")
        return self.machine_tokens[machine_token]

    async def launch(self, launch: ports.Launch) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.launched[launch.attempt] = launch.token
        self.seen[launch.attempt] = Observation(Sight.ALIVE, waiting=self.waiting)

    async def observe(self, attempt: str) -> Observation:
        return self.seen.get(attempt, Observation(Sight.ABSENT))

    async def stop(self, attempt: str) -> bool:
        self.stopped.append(attempt)
        self.seen.pop(attempt, None)
        return True

    async def attempts(self) -> list[str]:
        return list(self.seen)

    def machine_times(self) -> list[MachineTime]:
        return self.times

    async def close(self) -> None:
        self.is_closed = True

    def exits(self, attempt: str, code: int | None = None, log_tail: str = "") -> None:
        self.seen[attempt] = Observation(Sight.EXITED, code, log_tail)


@dataclass(frozen=True)
class TrainerHandle:
    """A running trainer and its surroundings."""

    target: str
    stub: Any
    channel: Any
    backend: Any
    datasets: FakeDatasets
    storage: StorageHandle
    trust: trust.Trust

    async def call(
        self, method: str, request: Any, *, project: str = "default", role: Role = Role.EDITOR
    ) -> Any:
        metadata = self.trust.metadata(project, role)
        return await getattr(self.stub, method)(request, metadata=metadata)

    async def create(self, job_id: str = "digits", *, request_id: str = "", **spec: Any) -> pb.TrainingJob:
        request = create_request(job_id, request_id=request_id, **spec)
        project = request.parent.split("/")[1]
        job: pb.TrainingJob = await self.call("CreateTrainingJob", request, project=project)
        return job

    async def get(self, name: str) -> pb.TrainingJob:
        job: pb.TrainingJob = await self.call("GetTrainingJob", pb.GetTrainingJobRequest(name=name))
        return job

    async def worker(self, job: pb.TrainingJob, number: int = 1) -> WorkerClient:
        """The worker of an attempt, once it is launched."""
        attempt = f"{job.name}/attempts/{number}"
        token = await eventually(lambda: self.backend.launched.get(attempt))
        return WorkerClient(self.channel, self.storage.http, attempt, token)

    async def claimed(self, job: pb.TrainingJob, number: int = 1) -> WorkerClient:
        worker = await self.worker(job, number)
        await worker.claim(f"w-{number}")
        return worker

    async def until(self, name: str, state: str, within_s: float = 10.0) -> pb.TrainingJob:
        """The job, once it is in that state."""

        async def reached() -> pb.TrainingJob | None:
            job = await self.get(name)
            return job if job.state == pb.TrainingJob.State.Value(f"STATE_{state}") else None

        found: pb.TrainingJob = await eventually(reached, within_s=within_s)
        return found

    async def events(self, name: str) -> list[str]:
        answer = await self.call("ListEvents", pb.ListEventsRequest(parent=name))
        assert [event.sequence for event in answer.events] == list(range(1, len(answer.events) + 1))
        return [event.reason for event in answer.events]

    async def objects(self, owner: str = "") -> list[str]:
        """Owners of all objects that storage keeps below `owner`."""
        request = storage_pb2.ListObjectsRequest(parent=PARENT, owner=owner)
        answer = await self.storage.call("ListObjects", request)
        return [each.owner for each in answer.objects]


def create_request(
    job_id: str = "digits",
    *,
    request_id: str = "",
    project: str = "default",
    dataset: str = "digits",
    version: str = "v1",
    **spec: Any,
) -> pb.CreateTrainingJobRequest:
    values = {"base_model": pb.BaseModel(preset="tiny-llava"), **spec}
    name = f"projects/{project}/datasets/{dataset}/versions/{version}"
    return pb.CreateTrainingJobRequest(
        parent=f"projects/{project}",
        training_job_id=job_id,
        training_job=pb.TrainingJob(spec=pb.TrainingJobSpec(dataset_version=name, **values)),
        request_id=request_id,
    )


@asynccontextmanager
async def running_trainer(
    s3: SeaweedFS,
    folder: Path,
    *,
    backend: Any = None,
    clock: Clock | None = None,
    database_url: str = "",
    **settings: Any,
) -> AsyncIterator[TrainerHandle]:
    """Serves storage, the stand-in of the dataset service and the trainer inside the block."""
    async with running_storage(s3, folder, sweep_interval_s=0.5) as storage:
        issuers = storage.trust.issuers_file
        async with (
            running_datasets(issuers) as (datasets, dataset_target),
            trainer_beside(
                storage, datasets, dataset_target, folder, backend, clock, database_url, **settings
            ) as handle,
        ):
            yield handle


@asynccontextmanager
async def trainer_beside(
    storage: StorageHandle,
    datasets: FakeDatasets,
    dataset_target: str,
    folder: Path,
    backend: Any = None,
    clock: Clock | None = None,
    database_url: str = "",
    **settings: Any,
) -> AsyncIterator[TrainerHandle]:
    """A trainer, or one more replica, beside services that run."""
    url = database_url or databases.url_in(folder, "trainer")
    await asyncio.to_thread(databases.migrate, url, "visiontune_trainer")
    values = {
        "database_url": url,
        "issuers_file": storage.trust.issuers_file,
        "signing_key_file": storage.trust.key_file("trainer"),
        "storage_target": storage.target,
        "dataset_target": dataset_target,
        "scratch_dir": folder / "scratch",
        "stop_grace_s": 1.0,
        "retry_first_s": 0.1,
        **settings,
    }
    hands = backend or HandBackend()
    program = app.build(Settings(**values), clock, hands)
    async with server.running(program) as target, channels.connect(target) as channel:
        stub = trainer_pb2_grpc.TrainerServiceStub(channel)
        yield TrainerHandle(target, stub, channel, hands, datasets, storage, storage.trust)
