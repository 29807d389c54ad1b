"""Pods that the manifests make: how little they may, how they start, stop and are replaced."""

import re
import tomllib
from typing import Any

import pytest
from visiontune_kit.settings import ServerSettings

from tests.support.kustomize import ROOT
from tests.support.manifests import OVERLAYS, SERVERS, Workload, of_kind, server, settings, workloads

WITH_DIGEST = re.compile(r"^[a-z0-9./:-]+@sha256:[0-9a-f]{64}$")
WITH_TAG = re.compile(r"^[a-z0-9./-]+:(?!latest$)[\w.-]+$")

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
every_server = pytest.mark.parametrize("name", SERVERS)


def is_restricted(workload: Workload) -> bool:
    """The pod security standard `restricted`, and beyond it: user, no writable root."""
    pod: dict[str, Any] = workload.pod["securityContext"]
    host = {"hostNetwork", "hostPID", "hostIPC"} & workload.pod.keys()
    paths = [volume for volume in workload.pod.get("volumes", ()) if "hostPath" in volume]
    return (
        pod["runAsNonRoot"] is True
        and pod["runAsUser"] > 0
        and pod["seccompProfile"] == {"type": "RuntimeDefault"}
        and not host
        and not paths
        and all(
            container["securityContext"]
            == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }
            for container in workload.containers
        )
    )


@every_overlay
def test_every_pod_is_restricted(overlay: str) -> None:
    assert [each.name for each in workloads(overlay) if not is_restricted(each)] == []


@every_overlay
def test_namespaces_enforce_what_the_pods_promise(overlay: str) -> None:
    found = {each["metadata"]["name"]: each["metadata"]["labels"] for each in of_kind(overlay, "Namespace")}
    assert found.keys() == {"visiontune", "visiontune-jobs"}
    for labels in found.values():
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
        assert labels["pod-security.kubernetes.io/warn"] == "restricted"


@every_overlay
def test_every_container_says_what_it_needs(overlay: str) -> None:
    for workload in workloads(overlay):
        for container in workload.containers:
            resources = container["resources"]
            assert {"cpu", "memory", "ephemeral-storage"} <= resources["requests"].keys(), workload.name
            assert {"memory", "ephemeral-storage"} <= resources["limits"].keys(), workload.name


@every_overlay
def test_images_are_named_for_good(overlay: str) -> None:
    images = {container["image"] for each in workloads(overlay) for container in each.containers}
    images.add(settings(overlay)["VISIONTUNE_TRAINER_KUBERNETES_WORKER_IMAGE"])
    ours = {image for image in images if "visiontune-" in image}
    # What a person built into their own cluster has no digest that we could know.
    pattern = WITH_TAG if overlay == "overlays/local" else WITH_DIGEST
    assert len(ours) == len(SERVERS) + 1
    assert [image for image in ours if not pattern.match(image)] == []
    assert [image for image in images - ours if not WITH_DIGEST.match(image)] == []


@every_overlay
def test_no_service_becomes_a_setting(overlay: str) -> None:
    """Kubernetes would set VISIONTUNE_GATEWAY_PORT=tcp://… for the Service of that name."""
    assert all(each.pod["enableServiceLinks"] is False for each in workloads(overlay))


@every_overlay
def test_what_is_mounted_is_there(overlay: str) -> None:
    for workload in workloads(overlay):
        volumes = {volume["name"] for volume in workload.pod.get("volumes", ())}
        volumes |= {claim["metadata"]["name"] for claim in workload.spec.get("volumeClaimTemplates", ())}
        mounted = {mount["name"] for each in workload.containers for mount in each.get("volumeMounts", ())}
        assert mounted == volumes, workload.name


@every_overlay
@every_server
def test_a_rollout_takes_no_replica_away_before_its_successor_is_ready(overlay: str, name: str) -> None:
    found = server(overlay, name)
    assert found.spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert found.server["readinessProbe"]["grpc"] == {"port": 8709}


@every_overlay
@every_server
def test_a_replica_may_finish_what_it_has_begun(overlay: str, name: str) -> None:
    found = server(overlay, name)
    given = ServerSettings(_env_file=None)
    halves = 2 if name == "gateway" else 1  # HTTP first, then gRPC
    needs_s = found.server["lifecycle"]["preStop"]["sleep"]["seconds"] + halves * (
        given.drain_s + given.stop_grace_s
    )
    assert found.pod["terminationGracePeriodSeconds"] > needs_s


@every_overlay
@every_server
def test_every_probe_asks_the_port_that_serves_health(overlay: str, name: str) -> None:
    container = server(overlay, name).server
    port = int(settings(overlay)["VISIONTUNE_HEALTH_PORT"])
    assert port in {each["containerPort"] for each in container["ports"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["grpc"]["port"] == port


@every_overlay
def test_every_server_bears_the_loss_of_a_node(overlay: str) -> None:
    budgets = {
        each["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"]: each["spec"]
        for each in of_kind(overlay, "PodDisruptionBudget")
    }
    for name in SERVERS:
        found = server(overlay, name)
        assert budgets[f"visiontune-{name}"]["maxUnavailable"] == 1
        spread = found.pod["topologySpreadConstraints"]
        assert [each["topologyKey"] for each in spread] == [
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        ]
        assert all(
            each["labelSelector"]["matchLabels"].items() <= found.labels.items()
            and each["matchLabelKeys"][0] in found.labels
            for each in spread
        )
        assert found.spec["replicas"] == (1 if overlay == "overlays/local" else 2)


@every_overlay
def test_a_replica_waits_for_the_migration_of_its_own_release(overlay: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"].replace(".", "-")
    jobs = {each.name: each for each in workloads(overlay, "Job")}
    assert jobs.keys() == {f"visiontune-{name}-migrate-{version}" for name in SERVERS}
    for name in SERVERS:
        (migrate,) = jobs[f"visiontune-{name}-migrate-{version}"].containers
        (wait,) = server(overlay, name).pod["initContainers"]
        assert migrate["command"] == ["python", "-m", f"visiontune_{name}", "migrate"]
        assert wait["command"] == ["python", "-m", f"visiontune_{name}", "await-migration"]
        assert migrate["image"] == wait["image"] == server(overlay, name).server["image"]
        assert migrate["env"] == wait["env"]
        # A Job's template cannot be changed, and the name of the settings changes with them.
        assert "envFrom" not in migrate
