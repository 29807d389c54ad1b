"""The test kubelet reads a pod as Kubernetes would. Needs no control plane: runs with all other tests."""

import pytest

from tests.cluster import pods

POD = {
    "metadata": {
        "name": "vt-1-a1-0-abcde",
        "namespace": "jobs",
        "uid": "u-1",
        "labels": {"batch.kubernetes.io/job-name": "vt-1-a1"},
        "annotations": {"batch.kubernetes.io/job-completion-index": "0"},
    },
    "spec": {"nodeName": "gpu-0", "subdomain": "vt-1-a1"},
}


def nothing(kind: str, name: str, key: str) -> str:
    raise AssertionError(f"{kind}/{name} has no {key}")


@pytest.mark.parametrize(
    ("text", "expanded"),
    [("$(A)", "1"), ("x$(A)y$(A)", "x1y1"), ("$$(A)", "$(A)"), ("$(B)", "$(B)"), ("$A ${A}", "$A ${A}")],
)
def test_references_are_expanded_as_kubernetes_does(text: str, expanded: str) -> None:
    assert pods.expand(text, {"A": "1"}) == expanded


def test_a_variable_sees_those_before_it_only() -> None:
    container = {
        "env": [
            {"name": "EARLY", "value": "$(LATE)"},
            {
                "name": "INDEX",
                "valueFrom": {
                    "fieldRef": {
                        "fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"
                    }
                },
            },
            {"name": "LATE", "value": "rank $(INDEX)"},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "NONE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['none']"}}},
        ]
    }
    made = pods.environment(container, POD, nothing)
    assert made == {"EARLY": "$(LATE)", "INDEX": "0", "LATE": "rank 0", "NODE": "gpu-0", "NONE": ""}


def test_values_come_from_config_maps_and_secrets() -> None:
    container = {
        "env": [
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ]
    }
    assert pods.environment(container, POD, lambda *words: "/".join(words)) == {
        "A": "configmaps/m/k",
        "B": "secrets/s/k",
    }


def test_a_source_that_is_not_known_is_refused() -> None:
    container = {"env": [{"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]}
    with pytest.raises(ValueError, match=r"resourceFieldRef.*CPU"):
        pods.environment(container, POD, nothing)


@pytest.mark.parametrize(
    ("text", "here"),
    [
        ("/scratch", "/t/a"),
        ("/scratch/hf:/data/x", "/t/a/hf:/t/data/x"),
        ("--dir=/scratch", "--dir=/t/a"),
        ("/scratchpad /other/scratch", "/scratchpad /other/scratch"),
        ("http://host/scratch", "http://host/scratch"),
        ("/scratch/deep/b", "/t/deep/b"),
    ],
)
def test_mounts_become_folders(text: str, here: str) -> None:
    translate = pods.Translation({"/scratch": "/t/a", "/data": "/t/data", "/scratch/deep": "/t/deep"}, {})
    assert translate(text) == here


def test_a_folder_below_a_mount_of_the_same_name_is_not_moved_twice() -> None:
    assert pods.Translation({"/data": "/data/pod/data"}, {})("/data/x") == "/data/pod/data/x"


def test_names_of_the_cluster_become_loopback() -> None:
    names = dict.fromkeys(pods.hostnames(POD), "127.0.0.1") | {"trainer.vt.svc:8703": "127.0.0.1:20003"}
    translate = pods.Translation({}, names)
    assert translate("vt-1-a1-0.vt-1-a1:29500") == "127.0.0.1:29500"
    assert translate("vt-1-a1-0.vt-1-a1.jobs.svc.cluster.local") == "127.0.0.1"
    assert translate("dns:///trainer.vt.svc:8703") == "dns:///127.0.0.1:20003"
    assert translate("vt-1-a1-0.vt-1-a11") == "vt-1-a1-0.vt-1-a11"


def test_a_pod_without_peers_has_no_master() -> None:
    assert pods.hostnames({"metadata": {"namespace": "jobs"}, "spec": {}}) == []
