"""What a test of the cluster drives."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.cluster.api import Api
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import Machine, Node
from tests.cluster.waiting import until


@dataclass
class Cluster:
    """What a test drives: the control plane, its administrator, its nodes by name."""

    plane: ControlPlane
    api: Api
    machine: Machine
    nodes: dict[str, Node]

    def add_node(self, name: str, labels: Mapping[str, str] | None = None, **capacity: str) -> Node:
        """Register a node and wait until pods may land on it. capacity: `gpus="2"`, or `cpu`, `memory`."""
        node = Node(self.api, self.machine, self.plane.certificates, name)
        gpus = capacity.pop("gpus", "0")
        node.start(labels or {}, {"nvidia.com/gpu": gpus, **capacity})
        self.nodes[name] = node
        until(lambda: not self.api.get("nodes", name)["spec"].get("taints"), f"{name} takes pods")
        return node

    def remove_node(self, name: str) -> None:
        self.nodes.pop(name).remove()
