"""Reads built manifests: what a pod of each workload is, and which ones there are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tests.support.kustomize import K8S, Manifest, build

OVERLAYS = ("overlays/local", "overlays/production", "overlays/production-mtls")
SERVERS = ("gateway", "storage", "dataset", "trainer")
_WORKLOADS = ("Deployment", "StatefulSet", "Job")


@dataclass(frozen=True)
class Workload:
    """Something that makes pods."""

    kind: str
    name: str
    namespace: str
    labels: dict[str, str]  # of its pods
    pod: dict[str, Any]  # spec of its pods
    spec: dict[str, Any]

    @property
    def containers(self) -> list[dict[str, Any]]:
        return [*self.pod.get("initContainers", ()), *self.pod["containers"]]

    @property
    def server(self) -> dict[str, Any]:
        (found,) = self.pod["containers"]
        return dict(found)


def of_kind(overlay: str, *kinds: str) -> list[Manifest]:
    return [each for each in build(overlay) if each["kind"] in kinds]


def workloads(overlay: str, *kinds: str) -> list[Workload]:
    return [_workload(each) for each in of_kind(overlay, *(kinds or _WORKLOADS))]


def server(overlay: str, name: str) -> Workload:
    (found,) = (each for each in workloads(overlay, "Deployment") if each.name == f"visiontune-{name}")
    return found


def settings(overlay: str) -> dict[str, str]:
    """The environment that every server gets."""
    (found,) = (
        each
        for each in of_kind(overlay, "ConfigMap")
        if each["metadata"]["name"].startswith("visiontune-settings-")
    )
    return dict(found["data"])


def examples() -> Iterator[Manifest]:
    for path in sorted((K8S / "examples").glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text("utf-8"))


def _workload(manifest: Manifest) -> Workload:
    metadata, spec = manifest["metadata"], manifest["spec"]
    template = spec["template"]
    return Workload(
        kind=manifest["kind"],
        name=metadata["name"],
        namespace=metadata["namespace"],
        labels=template["metadata"]["labels"],
        pod=template["spec"],
        spec=spec,
    )
