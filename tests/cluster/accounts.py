"""The namespaces, accounts and rights of k8s/, really applied."""

from pathlib import Path

from tests.cluster.cluster import Cluster
from tests.cluster.waiting import until

K8S = Path(__file__).parents[2] / "k8s"
SERVICES, JOBS = "visiontune", "visiontune-jobs"
TRAINER = "visiontune-trainer"


def install(cluster: Cluster) -> None:
    """Apply namespaces and rights. Harmless when they are there."""
    for name in ("namespaces.yaml", "rbac.yaml"):
        cluster.plane.kubectl(
            "apply", "--server-side", "--validate=strict", f"--filename={K8S / 'base' / name}"
        )
    if cluster.api.find("serviceaccounts", TRAINER, SERVICES) is None:
        cluster.api.create("serviceaccounts", {"metadata": {"name": TRAINER}}, SERVICES)
    for namespace in (SERVICES, JOBS):
        until(lambda: cluster.api.find("serviceaccounts", "default", namespace), "the default account")  # noqa: B023


def token(cluster: Cluster, namespace: str, account: str) -> str:
    """Return a token as a pod of this account would get it."""
    made = cluster.api.create(
        "serviceaccounts", {"spec": {"expirationSeconds": 3600}}, namespace, f"{account}/token"
    )
    return str(made["status"]["token"])


def trainer_token(cluster: Cluster) -> str:
    return token(cluster, SERVICES, TRAINER)
