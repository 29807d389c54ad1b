"""The whole path on Kubernetes: jobs of the CLI become pods on the right nodes, and train for real."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from visiontune.trainer.v1 import trainer_pb2

from tests.cluster import accounts
from tests.cluster.api import Resource
from tests.cluster.cluster import Cluster
from tests.cluster.control_plane import free_ports
from tests.cluster.waiting import until
from tests.cluster.workloads import IMAGE, exit_code
from tests.support import stack as stacks
from tests.support.stack import Stack

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
LEAST_ACCURACY = 0.90
JOB = """
spec:
  dataset_version: digits
  base_model: { preset: tiny-llava }
  hyperparameters: { precision: fp32 }
"""


@pytest.fixture(scope="module")
def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose trainer has the rights of k8s/ and runs workers as pods; with the digits imported."""
    accounts.install(cluster)
    folder = tmp_path_factory.mktemp("stack")
    kubeconfig = cluster.plane.kubeconfig("trainer", accounts.trainer_token(cluster))
    target = f"{accounts.TRAINER}.{accounts.SERVICES}.svc:8705"
    (worker_port,) = free_ports(1)
    made = stacks.make(
        folder / "home",
        VISIONTUNE_TRAINER_BACKEND="kubernetes",
        VISIONTUNE_TRAINER_WORKER_PORT=str(worker_port),
        VISIONTUNE_TRAINER_WORKER_TARGET=target,
        VISIONTUNE_TRAINER_KUBERNETES_KUBECONFIG=str(kubeconfig),
        VISIONTUNE_TRAINER_KUBERNETES_WORKER_IMAGE=IMAGE,
        VISIONTUNE_TRAINER_KUBERNETES_ACCELERATORS_FILE=str(
            ROOT / "k8s/accelerators/gpu-feature-discovery.yaml"
        ),
    )
    cluster.machine.names[target] = f"127.0.0.1:{worker_port}"
    archive = folder / "digits.tar.gz"
    subprocess.run([sys.executable, str(ROOT / "examples/digits.py"), str(archive)], check=True)
    made.up()
    try:
        made.cli("dataset", "import", str(archive), "--dataset", "digits")
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def job_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's job for an L4, in the precision that the processor behind the test nodes computes fast."""
    path = tmp_path_factory.mktemp("job") / "job.yaml"
    path.write_text(JOB)
    return path


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


def test_a_job_from_the_cli_trains_on_a_node_with_its_accelerator(
    cluster: Cluster, stack: Stack, job_file: Path
) -> None:
    stack.cli(
        "train", "--file", str(job_file), "--name", "seen", "--accelerator", "nvidia-l4:1", timeout_s=900
    )
    (pod,) = pods(cluster, stack, "seen")
    assert pod["spec"]["nodeName"] in {"l4-0", "l4-1"}
    # The worker finishes its attempt, and a moment later itself.
    until(lambda: exit_code(pods(cluster, stack, "seen")[0]) == 0, "the pod ended well")
    with stack.client() as client:
        assert client.get_job("seen").metrics_after["exact_match"] >= LEAST_ACCURACY


def test_an_evicted_worker_goes_on_from_its_checkpoint_elsewhere(
    cluster: Cluster, stack: Stack, job_file: Path
) -> None:
    command = ("train", "--file", str(job_file), "--name", "evicted", "--accelerator", "nvidia-l4:1")
    stack.cli(*command, "--max-steps", "60", "--no-wait")
    with stack.client() as client:
        until(lambda: any(point.step > 5 for point in client.list_metrics("evicted")), "it trains", 300)
    (first,) = pods(cluster, stack, "evicted")
    name = first["metadata"]["name"]
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    cluster.api.create("pods", body, accounts.JOBS, f"{name}/eviction")
    job = wait_for(stack, "evicted", "SUCCEEDED")
    assert job.attempt == 2
    with stack.client() as client:
        steps = [point.step for point in client.list_metrics("evicted")]
    assert len(steps) == len(set(steps))  # nothing was trained twice


def losses(stack: Stack, name: str) -> list[float]:
    with stack.client() as client:
        return [point.values["loss"] for point in client.list_metrics(name) if "loss" in point.values]


def test_two_nodes_train_as_one_process_does(cluster: Cluster, stack: Stack, job_file: Path) -> None:
    command = ("train", "--file", str(job_file), "--accelerator", "nvidia-l4:1", "--max-steps", "10")
    stack.cli(*command, "--name", "alone", timeout_s=400)
    stack.cli(*command, "--name", "together", "--nodes", "2", timeout_s=400)
    assert len(pods(cluster, stack, "together")) == 2
    assert len(losses(stack, "alone")) == 10
    assert losses(stack, "together") == pytest.approx(losses(stack, "alone"), abs=1e-5)
