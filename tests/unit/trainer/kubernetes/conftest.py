"""A cluster in memory, served over HTTP, and backends that know it."""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from visiontune_trainer.compute.kubernetes.api import Api, connect
from visiontune_trainer.compute.kubernetes.backend import KubernetesBackend

from tests.support.fake_kubernetes import Cluster, kubeconfig, served
from tests.support.kubernetes_values import CHOICES, PLACES


class ClusterClock:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def now(self) -> datetime:
        return self._cluster.now


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def connected(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[[], Api]]:
    with served(cluster) as address:
        path = tmp_path / "kubeconfig"
        path.write_text(kubeconfig(address))
        yield lambda: connect(str(path), "visiontune-jobs")


@pytest.fixture
async def backend(cluster: Cluster, connected: Callable[[], Api]) -> AsyncIterator[KubernetesBackend]:
    made = KubernetesBackend(connected, PLACES, CHOICES, ClusterClock(cluster))
    yield made
    await made.close()
