"""`kill -9` of any one program, at any moment of the main job: nothing is lost, nothing is left behind."""

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from visiontune import Client
from visiontune.dataset.v1 import dataset_pb2
from visiontune.trainer.v1 import trainer_pb2

from tests.support import stack as stacks
from tests.support.leftovers import bucket_keys, objects, scratch_files, until
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
    """Kills one program every few seconds; each of VICTIMS has been hit before any is hit again."""

    def __init__(self, stack: Stack, seed: int, count: int) -> None:
        super().__init__(daemon=True)
        self._stack = stack
        self._random = random.Random(seed)
        self._count = count
        self._finished = threading.Event()
        self.killed: list[str] = []

    def run(self) -> None:
        waiting: list[str] = []
        while len(self.killed) < self._count and not self._finished.wait(self._random.uniform(0.5, 4.0)):
            waiting = waiting or self._random.sample(VICTIMS, len(VICTIMS))
            pids = self._stack.pids()
            victim = next((name for name in waiting if name in pids), None)  # a worker runs only later
            if victim is None:
                continue
            try:
                os.kill(pids[victim], signal.SIGKILL)
            except ProcessLookupError:
                continue  # it ended by itself between the two lines
            waiting.remove(victim)
            self.killed.append(victim)

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
    job = client.create_job(trainer_pb2.TrainingJob(spec=spec))
    for _ in client.watch_job(job.name):
        pass
    return client.get_job(job.name)


def losses(client: Client, job: str) -> dict[int, float]:
    return {point.step: point.values["loss"] for point in client.list_metrics(job) if "loss" in point.values}


def assert_nothing_is_left(stack: Stack, client: Client) -> None:
    """Every stored byte has a living owner, no quota is reserved, no worker and no scratch file remain."""
    until(lambda: not client.get_quota().reserved_bytes, "bytes are reserved for nobody")
    until(lambda: "worker" not in stack.pids(), "a worker runs")
    until(lambda: not scratch_files(stack), "scratch files")
    owned = {job.name for job in client.list_jobs()} | {data.name for data in client.list_datasets()}
    stored = list(objects(client))
    for each in stored:
        assert any(each.owner.startswith(owner) for owner in owned), each
        assert "/uploads/" not in each.owner, each
    until(
        lambda: len(bucket_keys(stack)) == len(stored), "the bucket holds objects that storage does not know"
    )


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kills", [6, pytest.param(24, marks=pytest.mark.slow)])
def test_the_main_job_survives_kills_at_random_moments(tmp_path: Path, archive: Path, kills: int) -> None:
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
    for round_ in range(kills):  # as many as it takes; each kills at least once
        seed = random.SystemRandom().randrange(2**32)
        print(f"seed {seed}")
        disturbed = stacks.make(tmp_path / f"home-{round_}")
        disturbed.up()
        try:
            killer = Killer(disturbed, seed, count=min(8, kills - len(killed)))
            killer.start()
            with disturbed.client() as client:
                job = run_job(client, archive)
                killer.stop()
                killed += killer.killed
                print(f"killed {killer.killed}")
                assert killer.killed
                assert job.state == trainer_pb2.TrainingJob.STATE_SUCCEEDED, job.state_message
                assert dict(job.metrics_after) == dict(undisturbed.metrics_after)
                assert losses(client, job.name) == expected
                assert_nothing_is_left(disturbed, client)
        finally:
            disturbed.down()
        if len(killed) >= kills and set(killed) == set(VICTIMS):
            break
    assert len(killed) >= kills
    assert set(killed) == set(VICTIMS)
