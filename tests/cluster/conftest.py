"""A control plane for the whole run, nodes with GPUs that are not there, and a namespace for each test."""

import secrets
from collections.abc import Iterator

import pytest

from tests.cluster import build
from tests.cluster.cluster import Cluster, running
from tests.cluster.waiting import until

RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane with two nodes of L4, one of A100 and one without GPUs, each with a kubelet."""
    if lacking := build.missing():
        pytest.skip(f"{', '.join(lacking)} not built; `make test-cluster` builds them once (with Go 1.26).")
    with running(tmp_path_factory.mktemp("control-plane")) as made:
        for name in ("l4-0", "l4-1"):
            made.add_node(name, {"nvidia.com/gpu.product": "NVIDIA-L4"}, gpus="2")
        made.add_node("a100-0", {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}, gpus="8")
        made.add_node("cpu-0")
        yield made


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace that enforces restricted pods, with the account that every pod of a test runs as."""
    name = f"test-{secrets.token_hex(4)}"
    cluster.api.create("namespaces", {"metadata": {"name": name, "labels": RESTRICTED}})
    until(lambda: cluster.api.find("serviceaccounts", "default", name), "the default account")
    yield name
    cluster.api.delete("namespaces", name)
