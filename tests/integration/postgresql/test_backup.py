"""The manual's backup of databases in use, and its restore: what was committed is there again, and works."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url
from visiontune.trainer.v1 import trainer_pb2 as pb

from tests.support import manual
from tests.support.databases import PROGRAMS, Postgres
from tests.support.manifests import SERVERS
from tests.support.s3 import SeaweedFS
from tests.support.trainer import TrainerHandle, running_trainer
from tests.support.worker_client import WorkerClient

# Stands for kubectl: runs here what it is told to run in PostgreSQL's pod.
KUBECTL = """
import subprocess, sys
command = sys.argv[1:]
if "exec" in command:
    sys.exit(subprocess.run(command[command.index("--") + 1:]).returncode)
"""


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A server with a database and a role for each service, and nothing else of the session's."""
    made = Postgres()
    for name in SERVERS:
        made.run(f"CREATE ROLE visiontune_{name} LOGIN")
        made.make_database(f"visiontune_{name}")
        made.run(
            f"ALTER DATABASE visiontune_{name} OWNER TO visiontune_{name}",
            f"REVOKE CONNECT ON DATABASE visiontune_{name} FROM PUBLIC",
        )
    yield made
    made.close()


def url_of(server: Postgres, service: str) -> str:
    url = make_url(server.url(f"visiontune_{service}"))
    return url.set(username=url.database).render_as_string(hide_password=False)


async def run_manual(server: Postgres, folder: Path, block: str) -> None:
    host = str(make_url(server.url()).query["host"])
    variables = {"PGHOST": host, "PATH": f"{PROGRAMS}", "OVERLAY": "k8s/overlays/local"}
    await asyncio.to_thread(manual.run, folder, KUBECTL, block, **variables)


async def names(trainer: TrainerHandle) -> list[str]:
    answer = await trainer.call("ListTrainingJobs", pb.ListTrainingJobsRequest(parent="projects/default"))
    return sorted(job.name.rpartition("/")[2] for job in answer.training_jobs)


async def test_a_service_goes_on_from_what_was_there_when_the_dump_began(
    server: Postgres, s3: SeaweedFS, tmp_path: Path
) -> None:
    url = url_of(server, "trainer")
    async with running_trainer(s3, tmp_path, database_url=url) as trainer:
        job = await trainer.create("before")
        worker = await trainer.claimed(job)
        writing = asyncio.create_task(write(worker))
        await run_manual(server, tmp_path, "backup")
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await trainer.create("after")
        assert await names(trainer) == ["after", "before"]
    later = "CREATE TABLE of_a_later_release ()"
    server.run(later, database="visiontune_trainer")

    await run_manual(server, tmp_path, "restore")
    async with running_trainer(s3, tmp_path, database_url=url) as trainer:
        assert await names(trainer) == ["before"]
        points = await trainer.call("ListMetrics", pb.ListMetricsRequest(parent=job.name))
        steps = [point.step for point in points.points]
        assert steps == list(range(1, len(steps) + 1))
        trainer.backend.exits(worker.attempt, -9)
        await (await trainer.claimed(job, 2)).succeed()
    server.run(later, database="visiontune_trainer")  # it is not there any more
    owners = "SELECT datname FROM pg_database WHERE datname = pg_get_userbyid(datdba) ORDER BY datname"
    assert server.run(owners).split() == sorted(["postgres", *(f"visiontune_{name}" for name in SERVERS)])
    may_enter = "SELECT has_database_privilege('visiontune_gateway', 'visiontune_trainer', 'CONNECT')"
    assert server.run(may_enter) == "f"


async def write(worker: WorkerClient) -> None:
    """Metrics without end, a step after the other."""
    step = 1
    while True:
        await worker.metrics(step, loss=1.0)
        step += 1
