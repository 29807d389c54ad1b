"""The whole path on Kubernetes: jobs of the CLI become pods on the right nodes, and train for real."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from visiontune.trainer.v1 import trainer_pb2

from tests.cluster import accounts
from tests.cluster.api import Resource
from tests.cluster.cluster import Cluster
from tests.cluster.control_plane import NODE_GRACE_S, free_ports
from tests.cluster.waiting import until
from tests.cluster.workloads import IMAGE, L4, exit_code, pod
from tests.support import certificates
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
ON_L4 = ("--accelerator", "nvidia-l4:1")
# Of silence, after which a worker is taken for lost; a node's loss is seen a good deal earlier.
HEARTBEAT_TIMEOUT_S = NODE_GRACE_S + 15


@pytest.fixture(scope="module")
def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose trainer has the rights of k8s/ and runs workers as pods; with the digits imported.

    As with k8s/overlays/production-mtls, its servers speak mTLS; the pods have no certificate.
    """
    accounts.install(cluster)
    folder = tmp_path_factory.mktemp("stack")
    kubeconfig = cluster.plane.kubeconfig("trainer", accounts.trainer_token(cluster))
    target = f"{accounts.TRAINER}.{accounts.SERVICES}.svc:8705"
    (worker_port,) = free_ports(1)
    tls = certificates.make(folder / "tls").client("server", loopback=True)
    made = stacks.make(
        folder / "home",
        VISIONTUNE_TLS_CERTIFICATE_FILE=str(tls.certificate_file),
        VISIONTUNE_TLS_KEY_FILE=str(tls.key_file),
        VISIONTUNE_TLS_CA_FILE=str(tls.ca_file),
        VISIONTUNE_TRAINER_BACKEND="kubernetes",
        VISIONTUNE_TRAINER_WORKER_PORT=str(worker_port),
        VISIONTUNE_TRAINER_WORKER_TARGET=target,
        VISIONTUNE_TRAINER_HEARTBEAT_TIMEOUT_S=str(HEARTBEAT_TIMEOUT_S),
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


@pytest.fixture(scope="module")
def undisturbed(stack: Stack, job_file: Path) -> str:
    """A job that has trained to its end."""
    stack.cli("train", "--file", str(job_file), "--name", "undisturbed", *ON_L4, timeout_s=900)
    return "undisturbed"


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


def wait_for_step(stack: Stack, name: str, beyond: int, attempt: int = 1) -> int:
    """Waits until the attempt is beyond a step; returns where it is."""

    def reached() -> int:
        job = client.get_job(name)
        return job.progress.step if job.attempt == attempt and job.progress.step > beyond else 0

    with stack.client() as client:
        return until(reached, f"attempt {attempt} of {name} is beyond step {beyond}", 300)


def _in(job: trainer_pb2.TrainingJob, wanted: int) -> trainer_pb2.TrainingJob | None:
    ended = {trainer_pb2.TrainingJob.STATE_SUCCEEDED, trainer_pb2.TrainingJob.STATE_FAILED}
    return job if job.state == wanted or job.state in ended else None


def test_a_job_from_the_cli_trains_on_a_node_with_its_accelerator(
    cluster: Cluster, stack: Stack, undisturbed: str
) -> None:
    (only,) = pods(cluster, stack, undisturbed)
    assert only["spec"]["nodeName"] in {"l4-0", "l4-1"}
    # The worker finishes its attempt, and a moment later itself.
    until(lambda: exit_code(pods(cluster, stack, undisturbed)[0]) == 0, "the pod ended well")
    with stack.client() as client:
        assert client.get_job(undisturbed).metrics_after["exact_match"] >= LEAST_ACCURACY


def losses(stack: Stack, name: str) -> list[float]:
    with stack.client() as client:
        return [point.values["loss"] for point in client.list_metrics(name) if "loss" in point.values]


def test_two_nodes_train_as_one_process_does(cluster: Cluster, stack: Stack, job_file: Path) -> None:
    command = ("train", "--file", str(job_file), *ON_L4, "--max-steps", "10")
    stack.cli(*command, "--name", "alone", timeout_s=400)
    stack.cli(*command, "--name", "together", "--nodes", "2", timeout_s=400)
    assert len(pods(cluster, stack, "together")) == 2
    assert len(losses(stack, "alone")) == 10
    assert losses(stack, "together") == pytest.approx(losses(stack, "alone"), abs=1e-5)


def results(stack: Stack, name: str) -> tuple[list[float], dict[str, float]]:
    """All that was measured: each step's loss, and the last evaluation."""
    with stack.client() as client:
        return losses(stack, name), dict(client.get_job(name).metrics_after)


def test_a_training_outlives_the_trainer_and_the_api_server(
    cluster: Cluster, stack: Stack, job_file: Path, undisturbed: str
) -> None:
    stack.cli("train", "--file", str(job_file), "--name", "outlived", *ON_L4, "--no-wait")
    step = wait_for_step(stack, "outlived", 5)
    os.kill(stack.pids()["trainer"], signal.SIGKILL)
    step = wait_for_step(stack, "outlived", step)  # told to the next trainer
    cluster.plane.stop_one("kube-apiserver")
    time.sleep(5)
    cluster.plane.start_one("kube-apiserver")
    wait_for_step(stack, "outlived", step)
    assert wait_for(stack, "outlived", "SUCCEEDED").attempt == 1
    assert results(stack, "outlived") == results(stack, undisturbed)
    until(lambda: exit_code(pods(cluster, stack, "outlived")[0]) == 0, "its only pod ended well")


def test_a_training_that_loses_its_place_again_and_again_ends_as_if_undisturbed(
    cluster: Cluster, stack: Stack, job_file: Path, undisturbed: str, namespace: str
) -> None:
    """Evicted, then preempted, then its node is lost: each time it goes on from a checkpoint elsewhere."""
    patient = job_file.with_name("one-attempt.yaml")
    patient.write_text(f"{JOB}  resources: {{ max_attempts: 1 }}\n")
    stack.cli("train", "--file", str(patient), "--name", "moved", *ON_L4, "--no-wait")
    step = wait_for_step(stack, "moved", 5)
    evict(cluster, pods(cluster, stack, "moved")[-1]["metadata"]["name"])
    step = wait_for_step(stack, "moved", step + 5, attempt=2)
    take_the_place_of_all(cluster, namespace, pods(cluster, stack, "moved")[-1]["spec"]["nodeName"])
    wait_for_step(stack, "moved", step + 5, attempt=3)
    node = pods(cluster, stack, "moved")[-1]["spec"]["nodeName"]
    cluster.nodes[node].lose()
    try:
        job = wait_for(stack, "moved", "SUCCEEDED")
        last = pods(cluster, stack, "moved")[-1]
    finally:
        cluster.remove_node(node)
        cluster.add_node(node, L4, gpus="2")
    assert (job.attempt, job.uncharged_attempts) == (4, 3)
    assert last["spec"]["nodeName"] != node
    assert results(stack, "moved") == results(stack, undisturbed)


def evict(cluster: Cluster, name: str) -> None:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    cluster.api.create("pods", body, accounts.JOBS, f"{name}/eviction")


def take_the_place_of_all(cluster: Cluster, namespace: str, node: str) -> None:
    """A pod of higher priority needs all of a node, for a moment."""
    urgent = f"urgent-{namespace}"
    cluster.api.create("priorityclasses", {"metadata": {"name": urgent}, "value": 1000})
    place = {"nodeSelector": {"kubernetes.io/hostname": node}, "priorityClassName": urgent}
    cluster.api.create("pods", pod("urgent", "true", gpus=2, **place), namespace)
    until(lambda: exit_code(cluster.api.get("pods", "urgent", namespace)) == 0, "the urgent pod has run", 150)
    cluster.api.delete("priorityclasses", urgent)


def test_a_used_up_quota_is_waited_for_in_words(cluster: Cluster, stack: Stack, job_file: Path) -> None:
    quota = {"metadata": {"name": "gpus"}, "spec": {"hard": {"requests.nvidia.com/gpu": "0"}}}
    cluster.api.create("resourcequotas", quota, accounts.JOBS)
    try:
        until(
            lambda: "hard" in cluster.api.get("resourcequotas", "gpus", accounts.JOBS)["status"],
            "the quota counts",
        )
        stack.cli("train", "--file", str(job_file), "--name", "poor", *ON_L4, "--max-steps", "2", "--no-wait")
        with stack.client() as client:
            says = "Quota gpus: 0 of 0 GPUs used"
            until(lambda: says in client.get_job("poor").state_message, "the job says why it waits")
            assert client.get_job("poor").state == trainer_pb2.TrainingJob.STATE_STARTING
        more = {"spec": {"hard": {"requests.nvidia.com/gpu": "1"}}}
        cluster.api.patch("resourcequotas", "gpus", more, accounts.JOBS)
        assert wait_for(stack, "poor", "SUCCEEDED").attempt == 1
    finally:
        cluster.api.delete("resourcequotas", "gpus", accounts.JOBS)
