"""What a test of the cluster drives."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import build
from tests.cluster.api import Api
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import Machine, Node
from tests.cluster.waiting import until
from tests.cluster.workloads import IMAGE


@dataclass
class Cluster:
    """What a test drives: the control plane, its administrator, its nodes by name."""

    plane: ControlPlane
    api: Api
    machine: Machine
    nodes: dict[str, Node]

    def add_node(self, name: str, labels: Mapping[str, str] | None = None, **capacity: str) -> Node:
        """Register a node and wait until pods may land on it. capacity: `gpus="2"`, or `cpu`, `memory`."""
        self.add_nodes([name], labels, **capacity)
        return self.nodes[name]

    def add_nodes(
        self, names: Sequence[str], labels: Mapping[str, str] | None = None, **capacity: str
    ) -> None:
        """Register several nodes alike, and wait for all."""
        room = {"nvidia.com/gpu": capacity.pop("gpus", "0"), **capacity}
        for name in names:
            node = Node(self.api, self.machine, self.plane.certificates, name)
            node.start(labels or {}, room)
            self.nodes[name] = node
        for name in names:
            until(lambda: not self.api.get("nodes", name)["spec"].get("taints"), f"{name} takes pods")  # noqa: B023

    def remove_node(self, name: str) -> None:
        self.remove_nodes([name])

    def remove_nodes(self, names: Sequence[str]) -> None:
        nodes = [self.nodes.pop(name) for name in names]
        for node in nodes:
            node.lose()  # first, so that all wind down at once
        for node in nodes:
            node.remove()


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """A control plane without nodes inside the block; its programs have been built."""
    plane = ControlPlane(build.programs(), folder)
    image = {
        "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "VISIONTUNE_WORKER_DEVICE": "cpu",  # the nodes' accelerators are not there
    }
    made = Cluster(plane, plane.api(), Machine(folder / "machine", {IMAGE: image}), {})
    try:
        plane.start()
        yield made
    finally:
        for node in made.nodes.values():
            node.lose()
        plane.stop()
