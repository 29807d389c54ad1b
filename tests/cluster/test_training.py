"""The whole path on Kubernetes: jobs of the CLI become pods on the right nodes, and train for real."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from visiontune.trainer.v1 import trainer_pb2

from tests.cluster import accounts
from tests.cluster.api import Resource
from tests.cluster.cluster import Cluster
from tests.cluster.waiting import until
from tests.cluster.workloads import IMAGE, exit_code
from tests.support import stack as stacks
from tests.support.stack import Stack

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
LEAST_ACCURACY = 90.0


@pytest.fixture(scope="module")
def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose trainer has the rights of k8s/ and runs workers as pods; with the digits imported."""
    accounts.install(cluster)
    folder = tmp_path_factory.mktemp("stack")
    kubeconfig = cluster.plane.kubeconfig("trainer", accounts.trainer_token(cluster))
    target = f"{accounts.TRAINER}.{accounts.SERVICES}.svc:8703"
    made = stacks.make(
        folder / "home",
        VISIONTUNE_TRAINER_BACKEND="kubernetes",
        VISIONTUNE_TRAINER_WORKER_TARGET=target,
        VISIONTUNE_TRAINER_KUBERNETES_KUBECONFIG=str(kubeconfig),
        VISIONTUNE_TRAINER_KUBERNETES_WORKER_IMAGE=IMAGE,
        VISIONTUNE_TRAINER_KUBERNETES_ACCELERATORS_FILE=str(
            ROOT / "k8s/accelerators/gpu-feature-discovery.yaml"
        ),
    )
    cluster.machine.names[target] = f"127.0.0.1:{made.port + 3}"
    archive = folder / "digits.tar.gz"
    subprocess.run([sys.executable, str(ROOT / "examples/digits.py"), str(archive)], check=True)
    made.up()
    try:
        made.cli("dataset", "import", str(archive), "--dataset", "digits")
        yield made
    finally:
        made.down()


def train(stack: Stack, name: str, *more: str) -> None:
    stack.cli("train", "-d", "digits", "-m", "tiny-llava", "--name", name, "--no-wait", *more)


def pods(cluster: Cluster, stack: Stack, name: str) -> list[Resource]:
    """Pods of all attempts of a job, by their annotation; oldest first."""
    with stack.client() as client:
        job = client.job_name(name)
    found = cluster.api.list("pods", accounts.JOBS)["items"]
    mine = [
        each
        for each in found
        if each["metadata"].get("annotations", {}).get("visiontune.dev/training-job") == job
    ]
    return sorted(mine, key=lambda each: str(each["metadata"]["creationTimestamp"]))


def wait_for(stack: Stack, name: str, state: str, within_s: float = 600) -> trainer_pb2.TrainingJob:
    wanted = trainer_pb2.TrainingJob.State.Value(f"STATE_{state}")
    with stack.client() as client:
        job = until(lambda: _in(client.get_job(name), wanted), f"{name} is {state}", within_s)
    assert job.state == wanted, job
    return job


def _in(job: trainer_pb2.TrainingJob, wanted: int) -> trainer_pb2.TrainingJob | None:
    ended = {trainer_pb2.TrainingJob.STATE_SUCCEEDED, trainer_pb2.TrainingJob.STATE_FAILED}
    return job if job.state == wanted or job.state in ended else None


def wait_until_it_trains(stack: Stack, name: str) -> None:
    with stack.client() as client:
        until(lambda: any(point.step > 0 for point in client.list_metrics(name)), f"{name} trains", 300)


def test_a_job_from_the_cli_trains_on_a_node_with_its_accelerator(cluster: Cluster, stack: Stack) -> None:
    command = (
        "train",
        "-d",
        "digits",
        "-m",
        "tiny-llava",
        "--name",
        "seen",
        "--accelerator",
        "nvidia-l4:1",
        "--wait",
    )
    output = stack.cli(*command, timeout_s=900).stdout
    (pod,) = pods(cluster, stack, "seen")
    assert pod["spec"]["nodeName"] in {"l4-0", "l4-1"}
    assert exit_code(pod) == 0
    after = re.search(r"([\d.]+) %\D*after|after\D*([\d.]+) %", output)
    assert after, output
    assert max(float(value) for value in after.groups() if value) >= LEAST_ACCURACY
