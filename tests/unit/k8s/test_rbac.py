"""Rights: the trainer's, and nobody else's. What it uses of them: test_backend."""

import pytest

from tests.support.manifests import OVERLAYS, of_kind, workloads


def rights(overlay: str) -> dict[tuple[str, str], set[str]]:
    (role,) = of_kind(overlay, "Role")
    assert role["metadata"]["namespace"] == "visiontune-jobs"
    return {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nobody_has_a_right_outside_the_namespace_of_jobs(overlay: str) -> None:
    assert of_kind(overlay, "ClusterRole", "ClusterRoleBinding") == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nobody_reads_secrets_or_has_every_right(overlay: str) -> None:
    for (group, resource), verbs in rights(overlay).items():
        assert resource.split("/")[0] != "secrets"
        assert "*" not in {group, resource, *verbs}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_rights_are_bound_to_the_trainer_alone(overlay: str) -> None:
    (binding,) = of_kind(overlay, "RoleBinding")
    trainer = {"kind": "ServiceAccount", "name": "visiontune-trainer", "namespace": "visiontune"}
    assert binding["subjects"] == [trainer]
    assert binding["metadata"]["namespace"] == "visiontune-jobs"


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
