"""Rights: the trainer's, and nobody else's."""

import pytest

from tests.support.manifests import OVERLAYS, of_kind, workloads

JOBS_NAMESPACE = {
    ("batch", "jobs"): {"get", "list", "watch", "create", "patch", "delete"},
    ("", "pods"): {"get", "list", "watch", "delete"},
    ("", "pods/log"): {"get"},
    ("", "services"): {"get", "list", "create", "delete"},
    ("", "events"): {"list", "watch"},
    ("coordination.k8s.io", "leases"): {"get", "create", "update"},
}
CLUSTER = {
    ("", "nodes"): {"get", "list", "watch"},
    ("kueue.x-k8s.io", "workloads"): {"get", "list", "watch"},
}


def rights(overlay: str, kind: str) -> dict[tuple[str, str], set[str]]:
    (role,) = of_kind(overlay, kind)
    return {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_trainer_may_what_it_needs_and_nothing_else(overlay: str) -> None:
    assert rights(overlay, "Role") == JOBS_NAMESPACE
    assert rights(overlay, "ClusterRole") == CLUSTER


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nobody_reads_secrets_or_has_every_right(overlay: str) -> None:
    for kind in ("Role", "ClusterRole"):
        for (group, resource), verbs in rights(overlay, kind).items():
            assert resource.split("/")[0] != "secrets"
            assert "*" not in {group, resource, *verbs}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_rights_are_bound_to_the_trainer_alone(overlay: str) -> None:
    bindings = of_kind(overlay, "RoleBinding", "ClusterRoleBinding")
    assert len(bindings) == 2
    trainer = {"kind": "ServiceAccount", "name": "visiontune-trainer", "namespace": "visiontune"}
    for binding in bindings:
        assert binding["subjects"] == [trainer]
        assert binding["metadata"].get("namespace", "visiontune-jobs") == "visiontune-jobs"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_pod_but_the_trainers_gets_a_token_of_the_api_server(overlay: str) -> None:
    accounts = {
        each["metadata"]["name"]: each["automountServiceAccountToken"]
        for each in of_kind(overlay, "ServiceAccount")
    }
    assert accounts.pop("visiontune-trainer") is True
    assert set(accounts.values()) == {False}
    assert "visiontune-worker" in accounts
    for workload in workloads(overlay):
        account = workload.pod.get("serviceAccountName")
        default = True if account in {None, "visiontune-trainer"} else accounts[account]
        mounts = workload.pod.get("automountServiceAccountToken", default)
        assert mounts is (account == "visiontune-trainer"), workload.name
