"""k8s/ against the real API server: it takes every manifest; the trainer's rights are enough and no more."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster import accounts
from tests.cluster.api import Api
from tests.cluster.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

K8S = Path(__file__).parents[2] / "k8s"
# Kinds of other people's controllers, which this control plane does not have.
FOREIGN = ("cert-manager.io/", "monitoring.coreos.com/", "gateway.networking.k8s.io/")
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


@pytest.fixture
def trainer(cluster: Cluster) -> Iterator[Api]:
    """The API server, called with the trainer's own token."""
    caller = cluster.api.as_token(accounts.trainer_token(cluster))
    yield caller
    caller.close()


def ours(manifests: str) -> str:
    kept = [
        each for each in yaml.safe_load_all(manifests) if each and not each["apiVersion"].startswith(FOREIGN)
    ]
    return yaml.safe_dump_all(kept)


@pytest.mark.parametrize("overlay", ["local", "production", "production-mtls"])
def test_the_api_server_takes_an_overlay_without_a_warning(cluster: Cluster, overlay: str) -> None:
    built = ours(cluster.plane.kubectl("kustomize", str(K8S / "overlays" / overlay)).stdout)
    dry = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-")
    done = cluster.plane.kubectl(*dry, stdin=built)
    assert "Warning" not in done.stderr
    assert done.stdout.count("serverside-applied") == sum(1 for _ in yaml.safe_load_all(built))


@pytest.mark.parametrize("example", sorted(path.name for path in (K8S / "examples").glob("*.yaml")))
def test_the_api_server_takes_the_examples(cluster: Cluster, example: str) -> None:
    text = ours((K8S / "examples" / example).read_text())
    if not text:
        pytest.skip("all of it belongs to controllers that are not here")
    cluster.plane.kubectl(
        "apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-", stdin=text
    )


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
