"""Who may talk to whom: this table, and nobody else."""

import pytest
import yaml

from tests.support.kustomize import K8S, Manifest
from tests.support.manifests import OVERLAYS, SERVERS, of_kind, workloads
from tests.support.network_policies import Place, allowed

Connection = tuple[str, str, int]
SERVER_PORTS = {
    "gateway": (8700, 8704, 8709, 8710),
    "storage": (8701, 8709, 8711),
    "dataset": (8702, 8709, 8712),
    "trainer": (8703, 8705, 8709, 8713),
    "preview": (8706, 8709),
}
CALLS: set[Connection] = {
    ("ingress", "gateway", 8700),
    ("gateway", "storage", 8701),
    ("gateway", "dataset", 8702),
    ("gateway", "trainer", 8703),
    ("dataset", "storage", 8701),
    ("dataset", "trainer", 8703),
    ("dataset", "preview", 8706),
    ("trainer", "storage", 8701),
    ("trainer", "dataset", 8702),
    ("trainer", "preview", 8706),
    ("worker", "trainer", 8705),
    ("worker", "worker", 29500),
    # The API server is no pod, so the trainer reaches every address that is none, at its ports.
    ("trainer", "api-server", 443),
    ("trainer", "api-server", 6443),
    ("trainer", "internet", 443),
}
READERS_OF_S3 = ("storage", "dataset", "preview", "worker")
METRICS: set[Connection] = {
    ("prometheus", "gateway", 8710),
    ("prometheus", "storage", 8711),
    ("prometheus", "dataset", 8712),
    ("prometheus", "trainer", 8713),
}
OUTSIDE = (
    Place("dns", "kube-system", {"k8s-app": "kube-dns"}, ports=(53,)),
    Place("ingress", "ingress", namespace_labels={"visiontune.dev/ingress": "true"}, ports=(443,)),
    Place("platform", "elsewhere", namespace_labels={"visiontune.dev/platform": "true"}, ports=(8080,)),
    Place("prometheus", "monitoring", ports=(4317,)),
    Place("stranger", "default", ports=(8080,)),
    Place("stranger-job", "visiontune-jobs", ports=(8080,)),
    Place("api-server", address="10.96.0.1", ports=(443, 6443)),
    Place("internet", address="203.0.113.9", ports=(443, 80)),
)
WORKER = Place(
    "worker",
    "visiontune-jobs",
    {"app.kubernetes.io/name": "visiontune-worker", "app.kubernetes.io/managed-by": "visiontune"},
    ports=(29500,),
)


def places(overlay: str) -> list[Place]:
    found = [WORKER, *OUTSIDE]
    for each in workloads(overlay):
        name = each.labels["app.kubernetes.io/name"].removeprefix("visiontune-")
        ports = SERVER_PORTS.get(name) or {"postgres": (5432,), "s3": (8720, 9333)}.get(name, ())
        found.append(Place(name, each.namespace, each.labels, ports=ports))
    if overlay != "overlays/local":
        found.append(Place("postgres", address="192.0.2.1", ports=(5432, 22)))
        found.append(Place("s3", address="192.0.2.17", ports=(443, 22)))
    return found


def expected(overlay: str) -> set[Connection]:
    local = overlay == "overlays/local"
    pods = {each.labels["app.kubernetes.io/name"].removeprefix("visiontune-") for each in workloads(overlay)}
    of_ours = {*SERVERS, *(f"{name}-migrate" for name in SERVERS)}
    calls = CALLS | {(name, "dns", 53) for name in pods | {"worker"}}
    calls |= {(name, "postgres", 5432) for name in of_ours}
    calls |= {(name, "s3", 8720 if local else 443) for name in READERS_OF_S3}
    return calls if local else calls | {("trainer", "s3", 443)}


def between_ours(policies: list[Manifest], overlay: str) -> set[Connection]:
    """What is allowed, less the connections of which neither end is a pod of ours."""
    found = places(overlay)
    ours = {each.name for each in found if each.namespace in {"visiontune", "visiontune-jobs"}}
    return {each for each in allowed(policies, found) if {each[0], each[1]} & ours}


def example(name: str) -> list[Manifest]:
    return list(yaml.safe_load_all((K8S / "examples" / name).read_text("utf-8")))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_those_talk_who_must(overlay: str) -> None:
    assert between_ours(of_kind(overlay, "NetworkPolicy"), overlay) == expected(overlay)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_monitoring_adds_metrics_and_traces(overlay: str) -> None:
    before = of_kind(overlay, "NetworkPolicy")
    after = [*before, *of_kind("monitoring", "NetworkPolicy")]
    added = between_ours(after, overlay) - between_ours(before, overlay)
    senders = {*SERVERS, "worker", *(f"{name}-migrate" for name in SERVERS)}
    assert added == METRICS | {(name, "prometheus", 4317) for name in senders}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_examples_open_what_they_say(overlay: str) -> None:
    before = of_kind(overlay, "NetworkPolicy")
    known = between_ours(before, overlay)
    assert between_ours([*before, *example("platforms.yaml")], overlay) - known == {
        ("platform", "storage", 8701),
        ("platform", "dataset", 8702),
        ("platform", "trainer", 8703),
        ("platform", "gateway", 8704),
    }
    hub = between_ours([*before, *example("model-hub.yaml")], overlay) - known
    assert hub == {("worker", "internet", 443)}
    hosts = between_ours([*before, *example("image-hosts.yaml")], overlay) - known
    assert hosts == {("dataset", "internet", 443)}
