"""`kill -9` of any one program, at any moment of the main job: nothing is lost, nothing is left behind."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from visiontune import Client
from visiontune.dataset.v1 import dataset_pb2
from visiontune.storage.v1 import storage_pb2
from visiontune.trainer.v1 import trainer_pb2

from tests.support import stack as stacks
from tests.support.stack import Stack

ROOT = Path(__file__).parents[2]
VICTIMS = ("gateway", "storage", "dataset", "trainer", "seaweedfs", "worker")
LEAST_ACCURACY = 0.90


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("digits") / "digits.tar.gz"
    subprocess.run([sys.executable, str(ROOT / "examples/digits.py"), str(path)], check=True)
    return path


class Killer(threading.Thread):
    """Kills a random program every few seconds until it has done so `count` times."""

    def __init__(self, stack: Stack, seed: int, count: int) -> None:
        super().__init__(daemon=True)
        self._stack = stack
        self._random = random.Random(seed)
        self._left = count
        self._finished = threading.Event()
        self.killed: list[str] = []

    def run(self) -> None:
        while self._left and not self._finished.wait(self._random.uniform(1.0, 6.0)):
            pids = self._stack.pids()
            victim = self._random.choice([name for name in VICTIMS if name in pids])
            try:
                os.kill(pids[victim], signal.SIGKILL)
            except ProcessLookupError:
                continue  # it ended by itself between the two lines
            self.killed.append(victim)
            self._left -= 1

    def stop(self) -> None:
        self._finished.set()
        self.join()


def run_job(client: Client, archive: Path) -> trainer_pb2.TrainingJob:
    """The main job as the SDK does it; every call outlives the programs behind it."""
    client.create_dataset("digits")
    upload = client.upload(archive)
    request = dataset_pb2.ImportVersionRequest(
        parent=client.dataset_name("digits"), upload=upload.name, format="llava"
    )
    client.wait(client.import_version(request).name)
    spec = trainer_pb2.TrainingJobSpec(dataset_version=client.get_version("digits").name)
    spec.base_model.preset = "tiny-llava"
    spec.resources.max_attempts = 50
    job = client.create_job(trainer_pb2.TrainingJob(spec=spec))
    for _ in client.watch_job(job.name):
        pass
    return client.get_job(job.name)


def losses(client: Client, job: str) -> dict[int, float]:
    return {point.step: point.values["loss"] for point in client.list_metrics(job) if "loss" in point.values}


def objects(client: Client) -> Iterator[storage_pb2.Object]:
    method = storage_pb2.DESCRIPTOR.services_by_name["StorageService"].methods_by_name["ListObjects"]
    request = storage_pb2.ListObjectsRequest(parent=client.project, page_size=1000)
    yield from client.pages(method, request, storage_pb2.ListObjectsResponse(), "objects")


def assert_nothing_is_left(stack: Stack, client: Client) -> None:
    """Every object has a living owner, no quota is reserved, no worker and no scratch file remain."""
    deadline = time.monotonic() + 60
    while client.get_quota().reserved_bytes and time.monotonic() < deadline:
        time.sleep(1)
    assert client.get_quota().reserved_bytes == 0
    assert "worker" not in stack.pids()
    owned = {job.name for job in client.list_jobs()} | {data.name for data in client.list_datasets()}
    for stored in objects(client):
        assert any(stored.owner.startswith(owner) for owner in owned), stored
        assert "/uploads/" not in stored.owner, stored


@pytest.mark.chaos
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(("rounds", "kills"), [(1, 4), pytest.param(4, 7, marks=pytest.mark.slow)])
def test_the_main_job_survives_kills_at_random_moments(
    tmp_path: Path, archive: Path, rounds: int, kills: int
) -> None:
    quiet = stacks.make(tmp_path / "quiet")
    quiet.up()
    try:
        with quiet.client() as client:
            undisturbed = run_job(client, archive)
            expected = losses(client, undisturbed.name)
    finally:
        quiet.down()
    assert undisturbed.metrics_after["exact_match"] >= LEAST_ACCURACY

    killed: list[str] = []
    for _ in range(rounds):
        seed = random.SystemRandom().randrange(2**32)
        print(f"seed {seed}")
        disturbed = stacks.make(tmp_path / f"home-{seed}")
        disturbed.up()
        try:
            killer = Killer(disturbed, seed, count=kills)
            killer.start()
            with disturbed.client() as client:
                job = run_job(client, archive)
                killer.stop()
                killed += killer.killed
                print(f"killed {killer.killed}")
                assert job.state == trainer_pb2.TrainingJob.STATE_SUCCEEDED, job.state_message
                assert dict(job.metrics_after) == dict(undisturbed.metrics_after)
                assert losses(client, job.name) == expected
                assert_nothing_is_left(disturbed, client)
        finally:
            disturbed.down()
    assert len(killed) >= rounds
