"""The control plane, its nodes and the test kubelet do what the trainer relies on."""

import json
import re
import time
from typing import Any

import jwt
import pytest

from tests.cluster.api import ApiError, Resource
from tests.cluster.build import HERE
from tests.cluster.cluster import Cluster
from tests.cluster.control_plane import ISSUER
from tests.cluster.waiting import until
from tests.cluster.workloads import L4, condition, exit_code, job, pod

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


def pods_of(cluster: Cluster, namespace: str, job_name: str) -> list[Resource]:
    selector = f"batch.kubernetes.io/job-name={job_name}"
    return list(cluster.api.list("pods", namespace, labelSelector=selector)["items"])


def wait_for_pod(cluster: Cluster, namespace: str, name: str, phase: str) -> Resource:
    def reached() -> Resource | None:
        found = cluster.api.find("pods", name, namespace)
        return found if found and found["status"].get("phase") == phase else None

    return until(reached, f"pod {name} is {phase}")


def wait_for_job(cluster: Cluster, namespace: str, name: str, kind: str, within_s: float = 60) -> Resource:
    """Waits until the Job has this condition; returns the condition."""

    def reached() -> Resource:
        return condition(cluster.api.get("jobs", name, namespace), kind)

    return until(reached, f"job {name} is {kind}", within_s)


def state_of(ended: Resource) -> Resource:
    """State of the pod's only container."""
    return dict(ended["status"]["containerStatuses"][0]["state"])


def log_of(cluster: Cluster, namespace: str, name: str) -> str:
    return cluster.plane.kubectl("logs", "--namespace", namespace, name).stdout


def events(cluster: Cluster, namespace: str, reason: str) -> list[str]:
    found = cluster.api.list("events", namespace, fieldSelector=f"reason={reason}")["items"]
    return [event["message"] for event in found]


def test_the_control_plane_is_of_the_pinned_release(cluster: Cluster) -> None:
    pinned = re.search(r"k8s\.io/kubernetes (v[\d.]+)", (HERE / "go.mod").read_text())
    versions = json.loads(cluster.plane.kubectl("version", "--output=json").stdout)
    assert pinned
    assert {versions[side]["gitVersion"] for side in ("clientVersion", "serverVersion")} == {pinned[1]}


def test_a_pod_runs_for_real_on_a_node_with_its_accelerator(cluster: Cluster, namespace: str) -> None:
    script = 'echo "$NODE has $WHAT"; echo kept > /scratch/file; cat /scratch/file; exit 3'
    env = [
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "WHAT", "value": "one L4"},
    ]
    container = {"env": env, "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}
    body = pod(
        "one",
        script,
        gpus=1,
        container=container,
        nodeSelector=L4,
        volumes=[{"name": "scratch", "emptyDir": {}}],
    )
    cluster.api.create("pods", body, namespace)
    ended = wait_for_pod(cluster, namespace, "one", "Failed")
    assert ended["spec"]["nodeName"] in {"l4-0", "l4-1"}
    assert exit_code(ended) == 3
    assert log_of(cluster, namespace, "one") == f"{ended['spec']['nodeName']} has one L4\nkept\n"


def test_a_pod_waits_with_the_schedulers_words_until_an_accelerator_is_free(
    cluster: Cluster, namespace: str
) -> None:
    cluster.api.create("pods", pod("big", "true", gpus=3, nodeSelector=L4), namespace)

    def unschedulable() -> str:
        conditions = cluster.api.get("pods", "big", namespace)["status"].get("conditions", [])
        return "".join(found["message"] for found in conditions if found.get("reason") == "Unschedulable")

    message = until(unschedulable, "the scheduler says why")
    assert re.search(r"2 Insufficient nvidia.com/gpu", message), message
    assert "didn't match Pod's node affinity/selector" in message
    cluster.add_node("l4-big", L4, gpus="4")
    try:
        assert wait_for_pod(cluster, namespace, "big", "Succeeded")["spec"]["nodeName"] == "l4-big"
    finally:
        cluster.remove_node("l4-big")


@pytest.mark.parametrize(
    ("code", "reason", "rule"),
    [(64, "PodFailurePolicy", 1), (75, "PodFailurePolicy", 2), (1, "BackoffLimitExceeded", None)],
)
def test_a_job_says_which_rule_its_exit_code_matched(
    cluster: Cluster, namespace: str, code: int, reason: str, rule: int | None
) -> None:
    cluster.api.create("jobs", job("one", f"exit {code}"), namespace)
    failed = wait_for_job(cluster, namespace, "one", "Failed")
    assert failed["reason"] == reason
    assert rule is None or failed["message"].endswith(f"matching FailJob rule at index {rule}")


def test_the_pods_of_a_job_meet_at_the_first_ones_address(cluster: Cluster, namespace: str) -> None:
    script = 'echo "rank $RANK $VISIONTUNE_MASTER_ADDR:$VISIONTUNE_MASTER_PORT"'
    rank = {"fieldRef": {"fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"}}
    env = [
        {"name": "RANK", "valueFrom": rank},
        {"name": "VISIONTUNE_MASTER_ADDR", "value": "two-0.two"},
        {"name": "VISIONTUNE_MASTER_PORT", "value": "29500"},
    ]
    cluster.api.create(
        "jobs", job("two", script, nodes=2, gpus=2, container={"env": env}, subdomain="two"), namespace
    )
    wait_for_job(cluster, namespace, "two", "Complete")
    lines = sorted(
        log_of(cluster, namespace, found["metadata"]["name"]) for found in pods_of(cluster, namespace, "two")
    )
    places = {line.split(maxsplit=2)[2] for line in lines}
    assert [line.split()[1] for line in lines] == ["0", "1"]
    assert len(places) == 1
    assert re.fullmatch(r"127\.0\.0\.1:\d+\n", places.pop())


def test_an_image_that_cannot_be_pulled_keeps_its_pod_pending(cluster: Cluster, namespace: str) -> None:
    cluster.api.create("pods", pod("typo", "true", container={"image": "no-such-image:1"}), namespace)

    def waiting() -> str:
        statuses = cluster.api.get("pods", "typo", namespace)["status"].get("containerStatuses", [])
        return "".join(status["state"].get("waiting", {}).get("reason", "") for status in statuses)

    assert until(waiting, "the kubelet says why") == "ImagePullBackOff"
    cluster.api.delete("pods", "typo", namespace)
    until(lambda: cluster.api.find("pods", "typo", namespace) is None, "the pod is gone")


def test_a_command_that_cannot_start_is_told(cluster: Cluster, namespace: str) -> None:
    cluster.api.create("pods", pod("typo", "", container={"command": ["no-such-program"]}), namespace)
    terminated = state_of(wait_for_pod(cluster, namespace, "typo", "Failed"))["terminated"]
    assert terminated["exitCode"] == 128
    assert '"no-such-program": executable file not found' in terminated["message"]


def test_the_last_words_of_a_container_come_with_its_status(cluster: Cluster, namespace: str) -> None:
    container = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    cluster.api.create("pods", pod("one", "echo no space left; exit 1", container=container), namespace)
    terminated = state_of(wait_for_pod(cluster, namespace, "one", "Failed"))["terminated"]
    assert terminated["message"] == "no space left\n"


def test_a_deleted_pod_may_end_in_peace(cluster: Cluster, namespace: str) -> None:
    script = "trap 'echo saved; exit 75' TERM; echo ready; while true; do sleep 0.1; done"
    cluster.api.create("pods", pod("one", script, terminationGracePeriodSeconds=30), namespace)
    wait_for_pod(cluster, namespace, "one", "Running")
    until(lambda: "ready" in log_of(cluster, namespace, "one"), "the trap is set")
    cluster.api.delete("pods", "one", namespace)
    until(lambda: cluster.api.find("pods", "one", namespace) is None, "the pod is gone", within_s=20)
    assert cluster.machine.log(namespace, "one").read_text() == "ready\nsaved\n"


def test_a_stubborn_process_is_killed_after_its_grace(cluster: Cluster, namespace: str) -> None:
    script = "trap '' TERM; while true; do sleep 0.1; done"
    cluster.api.create("jobs", job("one", script, terminationGracePeriodSeconds=1), namespace)
    name = until(lambda: pods_of(cluster, namespace, "one"), "the job has a pod")[0]["metadata"]["name"]
    wait_for_pod(cluster, namespace, name, "Running")
    evict(cluster, namespace, name)
    assert wait_for_job(cluster, namespace, "one", "Failed")["message"].endswith(
        "matching FailJob rule at index 0"
    )


def evict(cluster: Cluster, namespace: str, name: str) -> None:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
    cluster.api.create("pods", body, namespace, f"{name}/eviction")


def test_an_evicted_pod_is_a_disruption_whatever_its_exit_code(cluster: Cluster, namespace: str) -> None:
    script = "trap 'exit 75' TERM; while true; do sleep 0.1; done"
    cluster.api.create("jobs", job("one", script), namespace)
    name = until(lambda: pods_of(cluster, namespace, "one"), "the job has a pod")[0]["metadata"]["name"]
    wait_for_pod(cluster, namespace, name, "Running")
    evict(cluster, namespace, name)
    failed = wait_for_job(cluster, namespace, "one", "Failed")
    assert failed["reason"] == "PodFailurePolicy"
    assert failed["message"].endswith("matching FailJob rule at index 0")


def test_a_pod_of_higher_priority_takes_the_accelerator(cluster: Cluster, namespace: str) -> None:
    urgent, alone = f"urgent-{namespace}", {"pool": namespace}
    cluster.api.create("priorityclasses", {"metadata": {"name": urgent}, "value": 1000})
    cluster.add_node("small", alone, gpus="1")
    try:
        script = "trap 'exit 75' TERM; while true; do sleep 0.1; done"
        cluster.api.create("jobs", job("patient", script, gpus=1, nodeSelector=alone), namespace)
        victim = until(lambda: pods_of(cluster, namespace, "patient"), "the job has a pod")[0]["metadata"][
            "name"
        ]
        wait_for_pod(cluster, namespace, victim, "Running")
        cluster.api.create(
            "pods", pod("urgent", "true", gpus=1, nodeSelector=alone, priorityClassName=urgent), namespace
        )
        wait_for_pod(cluster, namespace, "urgent", "Succeeded")
        assert wait_for_job(cluster, namespace, "patient", "Failed")["message"].endswith("rule at index 0")
    finally:
        cluster.remove_node("small")
        cluster.api.delete("priorityclasses", urgent)


def test_a_lost_node_disrupts_its_pods(cluster: Cluster, namespace: str) -> None:
    gone_after_s = 1
    tolerations = [
        {
            "key": f"node.kubernetes.io/{key}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": gone_after_s,
        }
        for key in ("not-ready", "unreachable")
    ]
    alone = {"pool": namespace}
    node = cluster.add_node("doomed", alone, gpus="1")
    try:
        cluster.api.create(
            "jobs", job("one", "sleep 300", gpus=1, nodeSelector=alone, tolerations=tolerations), namespace
        )
        name = until(lambda: pods_of(cluster, namespace, "one"), "the job has a pod")[0]["metadata"]["name"]
        wait_for_pod(cluster, namespace, name, "Running")
        node.lose()
        disrupted = until(
            lambda: condition(cluster.api.get("pods", name, namespace), "DisruptionTarget"),
            "the pod is disrupted",
        )
        assert disrupted["reason"] == "DeletionByTaintManager"
        # As long as the node may come back, the pod is not said to have ended, and neither is the Job.
        assert cluster.api.get("pods", name, namespace)["status"]["phase"] == "Running"
        assert not condition(cluster.api.get("jobs", "one", namespace), "Failed")
    finally:
        cluster.remove_node("doomed")
    # Once the Node object is gone (for 40 s, and then within 20 s), Kubernetes says that the pod failed.
    assert wait_for_job(cluster, namespace, "one", "Failed", 150)["message"].endswith("rule at index 0")


def test_an_exhausted_quota_is_an_event_of_the_job(cluster: Cluster, namespace: str) -> None:
    hard = {"requests.nvidia.com/gpu": "1"}
    cluster.api.create("resourcequotas", {"metadata": {"name": "gpus"}, "spec": {"hard": hard}}, namespace)
    until(
        lambda: cluster.api.get("resourcequotas", "gpus", namespace)["status"].get("hard") == hard,
        "the quota counts",
    )
    cluster.api.create("jobs", job("large", "true", gpus=2), namespace)
    messages = until(lambda: events(cluster, namespace, "FailedCreate"), "the Job says why it has no pod")
    assert "exceeded quota: gpus" in messages[0]
    assert "limited: requests.nvidia.com/gpu=1" in messages[0]


def test_only_restricted_pods_are_admitted(cluster: Cluster, namespace: str) -> None:
    loose: dict[str, Any] = {"securityContext": {}}
    with pytest.raises(ApiError, match='violates PodSecurity "restricted'):
        cluster.api.create("pods", pod("loose", "true", **loose), namespace)
    # A Job is only warned of: its pods are refused later.
    before = len(cluster.api.warnings)
    cluster.api.create("jobs", job("loose", "true", **loose), namespace)
    assert "would violate PodSecurity" in cluster.api.warnings[before]
    cluster.api.create("jobs", job("tight", "true"), namespace)
    assert len(cluster.api.warnings) == before + 1


def test_pods_outlive_a_restart_of_the_api_server(cluster: Cluster, namespace: str) -> None:
    cluster.api.create("jobs", job("one", "sleep 3; echo done"), namespace)
    name = until(lambda: pods_of(cluster, namespace, "one"), "the job has a pod")[0]["metadata"]["name"]
    started = wait_for_pod(cluster, namespace, name, "Running")
    cluster.plane.stop_one("kube-apiserver")
    time.sleep(4)  # the container ends while nobody can be told
    cluster.plane.start_one("kube-apiserver")
    wait_for_job(cluster, namespace, "one", "Complete")
    ended = cluster.api.get("pods", name, namespace)
    assert ended["metadata"]["uid"] == started["metadata"]["uid"]
    assert exit_code(ended) == 0


def test_a_pods_token_names_the_pod_and_is_signed_by_the_clusters_keys(
    cluster: Cluster, namespace: str
) -> None:
    cluster.api.create("serviceaccounts", {"metadata": {"name": "worker"}}, namespace)
    token = {"path": "token", "audience": "visiontune-worker", "expirationSeconds": 3600}
    volume = {"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}}
    container = {
        "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets/visiontune", "readOnly": True}]
    }
    body = pod(
        "one",
        "cat /var/run/secrets/visiontune/token",
        container=container,
        volumes=[volume],
        serviceAccountName="worker",
    )
    uid = cluster.api.create("pods", body, namespace)["metadata"]["uid"]
    wait_for_pod(cluster, namespace, "one", "Succeeded")
    written = log_of(cluster, namespace, "one")
    keys = jwt.PyJWKSet.from_json(cluster.api.call("GET", "/openid/v1/jwks"))
    key = keys[jwt.get_unverified_header(written)["kid"]]
    claims = jwt.decode(written, key, algorithms=["RS256"], audience="visiontune-worker", issuer=ISSUER)
    assert claims["kubernetes.io"]["pod"] == {"name": "one", "uid": uid}
    assert claims["sub"] == f"system:serviceaccount:{namespace}:worker"


def test_a_node_may_not_take_a_token_for_a_pod_of_another(cluster: Cluster, namespace: str) -> None:
    cluster.api.create(
        "pods", pod("one", "sleep 60", nodeSelector={"kubernetes.io/hostname": "l4-0"}), namespace
    )
    uid = wait_for_pod(cluster, namespace, "one", "Running")["metadata"]["uid"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "one", "uid": uid}
    with pytest.raises(ApiError) as refused:
        cluster.nodes["l4-1"].api.create(
            "serviceaccounts",
            {"spec": {"audiences": ["x"], "boundObjectRef": bound}},
            namespace,
            "default/token",
        )
    assert refused.value.code == 403
