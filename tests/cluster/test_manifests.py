"""k8s/ against the real API server: it takes every manifest; the trainer's rights are enough and no more.

Kinds of other projects are checked by their own definitions, for which nobody acts here.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from visiontune_trainer.compute.kubernetes.accelerators import Places
from visiontune_trainer.compute.kubernetes.manifests import CONTAINER, PodChoices, job_manifest
from visiontune_trainer.ports import Launch

from tests.cluster import accounts, build, crds
from tests.cluster.api import Api
from tests.cluster.cluster import Cluster
from tests.cluster.waiting import until
from tests.cluster.workloads import IMAGE, condition
from tests.support.manifests import OVERLAYS

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

K8S = Path(__file__).parents[2] / "k8s"
DRY_RUN = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-")
ALLOWED = {
    ("batch", "jobs"): {"get", "list", "watch", "create", "delete"},
    ("", "pods"): {"get", "list", "watch", "delete"},
    ("", "services"): {"create"},
    ("", "events"): {"list", "watch"},
    ("kueue.x-k8s.io", "workloads"): {"list"},
}
REFUSED = {
    ("", "secrets"): {"get", "list", "watch", "create"},
    ("", "configmaps"): {"get", "create"},
    ("", "pods"): {"create", "patch", "update"},
    ("", "pods/log"): {"get"},
    ("", "nodes"): {"get", "list"},
    ("coordination.k8s.io", "leases"): {"get", "create"},
    ("", "pods/exec"): {"create"},
    ("", "serviceaccounts/token"): {"create"},
    ("apps", "deployments"): {"get", "create", "delete"},
    ("rbac.authorization.k8s.io", "roles"): {"create", "escalate", "bind"},
}


@pytest.fixture(scope="module", autouse=True)
def namespaces(cluster: Cluster) -> None:
    accounts.install(cluster)
    # cert-manager's own, where its authority lies.
    cluster.plane.kubectl("create", "namespace", "cert-manager")


@pytest.fixture(scope="module")
def foreign_kinds(cluster: Cluster) -> None:
    """Kinds of other people's controllers, without the controllers."""
    definitions = crds.folder(build.cache())
    if not definitions.exists():
        pytest.skip(
            "The definitions of other projects' kinds are not here; `make test-cluster` fetches them."
        )
    cluster.plane.kubectl("apply", "--server-side", f"--filename={definitions}")
    cluster.plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")


@pytest.fixture
def trainer(cluster: Cluster) -> Iterator[Api]:
    """The API server, called with the trainer's own token."""
    caller = cluster.api.as_token(accounts.trainer_token(cluster))
    yield caller
    caller.close()


@pytest.mark.usefixtures("foreign_kinds")
@pytest.mark.parametrize("folder", [*OVERLAYS, "monitoring"])
def test_the_api_server_takes_every_object_without_a_warning(cluster: Cluster, folder: str) -> None:
    built = cluster.plane.kubectl("kustomize", str(K8S / folder)).stdout
    done = cluster.plane.kubectl(*DRY_RUN, stdin=built)
    assert "Warning" not in done.stderr
    assert done.stdout.count("serverside-applied") == sum(1 for _ in yaml.safe_load_all(built))


@pytest.mark.usefixtures("foreign_kinds")
@pytest.mark.parametrize("example", sorted(path.name for path in (K8S / "examples").glob("*.yaml")))
def test_the_api_server_takes_the_examples(cluster: Cluster, example: str) -> None:
    cluster.plane.kubectl(*DRY_RUN, stdin=(K8S / "examples" / example).read_text())


@pytest.mark.usefixtures("foreign_kinds")
@pytest.mark.parametrize(
    ("kind", "spec", "said"),
    [
        ("ServiceMonitor", "{selector: {}, endpoints: [{port: metrics, intervall: 30s}]}", "intervall"),
        ("Certificate", "{secretName: x, issuerRef: {name: x}, usages: [server]}", "usages"),
        ("HTTPRoute", "{rules: [{timeouts: {request: soon}}]}", "timeouts.request"),
    ],
)
def test_what_another_projects_kind_does_not_know_is_refused(
    cluster: Cluster, kind: str, spec: str, said: str
) -> None:
    groups = {
        "ServiceMonitor": "monitoring.coreos.com/v1",
        "Certificate": "cert-manager.io/v1",
        "HTTPRoute": "gateway.networking.k8s.io/v1",
    }
    manifest = f"{{apiVersion: {groups[kind]}, kind: {kind}, metadata: {{name: x}}, spec: {spec}}}"
    done = cluster.plane.kubectl(*DRY_RUN, stdin=manifest, check=False)
    assert done.returncode != 0
    assert said in done.stderr


def allowed(caller: Api, verb: str, group: str, resource: str, namespace: str) -> bool:
    name, _, subresource = resource.partition("/")
    asked = {
        "verb": verb,
        "group": group,
        "resource": name,
        "subresource": subresource,
        "namespace": namespace,
    }
    review = caller.create("selfsubjectaccessreviews", {"spec": {"resourceAttributes": asked}})
    return bool(review["status"]["allowed"])


def test_the_trainers_rights_are_enough_and_no_more(trainer: Api) -> None:
    for (group, resource), verbs in ALLOWED.items():
        for verb in verbs:
            assert allowed(trainer, verb, group, resource, accounts.JOBS), f"{verb} {resource}"
            assert not allowed(trainer, verb, group, resource, "default"), f"{verb} {resource} elsewhere"
    for (group, resource), verbs in REFUSED.items():
        for verb in verbs:
            assert not allowed(trainer, verb, group, resource, accounts.JOBS), f"{verb} {resource}"


def test_a_trainer_pods_account_has_no_rights(cluster: Cluster) -> None:
    worker = cluster.api.as_token(accounts.token(cluster, accounts.JOBS, "visiontune-worker"))
    for group, resource in ALLOWED | REFUSED:
        assert not allowed(worker, "get", group, resource, accounts.JOBS), resource
    worker.close()


def test_a_training_pod_has_the_trainers_ca_in_a_file(cluster: Cluster) -> None:
    """The Job of an attempt is taken where restricted pods are enforced, without a warning."""
    ca = "-----BEGIN CERTIFICATE-----\nof a test\n-----END CERTIFICATE-----\n"
    show = {"name": CONTAINER, "command": ["cat", "/etc/visiontune/ca/ca.crt"]}
    choices = PodChoices(image=IMAGE, ca=ca, patch={"spec": {"containers": [show]}})
    job = job_manifest(Launch("projects/p/trainingJobs/shows-ca/attempts/1", "", ""), Places(), choices)
    before = len(cluster.api.warnings)
    name = cluster.api.create("jobs", job, accounts.JOBS)["metadata"]["name"]
    assert cluster.api.warnings[before:] == []
    until(lambda: condition(cluster.api.get("jobs", name, accounts.JOBS), "Complete"), "it is Complete")
    logs = cluster.plane.kubectl("logs", f"--namespace={accounts.JOBS}", f"job/{name}").stdout
    assert logs == ca
    cluster.plane.kubectl("delete", f"--namespace={accounts.JOBS}", "job", name)
