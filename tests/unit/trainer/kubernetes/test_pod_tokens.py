"""Which tokens of pods are believed: with keys made here, as a cluster's."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from visiontune_kit.errors import Unauthenticated
from visiontune_trainer.compute.kubernetes import api as api_module
from visiontune_trainer.compute.kubernetes import pod_tokens
from visiontune_trainer.compute.kubernetes.api import Api
from visiontune_trainer.compute.kubernetes.backend import KubernetesBackend
from visiontune_trainer.compute.kubernetes.manifests import name_of
from visiontune_trainer.compute.kubernetes.pod_tokens import PodIdentity, UnknownKey
from visiontune_trainer.domain.problems import BackendUnavailable

from tests.support.fake_kubernetes import Cluster, Fault
from tests.support.kubernetes_values import ATTEMPT, CHOICES, PLACES, make_launch
from tests.unit.trainer.kubernetes.conftest import ClusterClock

ISSUER = "https://kubernetes.default.svc"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def jwks(*keys: tuple[str, rsa.RSAPrivateKey]) -> dict[str, Any]:
    public = [
        {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": key_id, "alg": "RS256"}
        for key_id, key in keys
    ]
    return {"keys": public}


def token(pod: dict[str, Any] | None = None, *, key: Any = KEY, key_id: str = "k1", **changed: Any) -> str:
    metadata = (pod or {"metadata": {"name": "p", "uid": "u"}})["metadata"]
    claims = {
        "iss": ISSUER,
        "aud": ["visiontune-worker"],
        "exp": datetime.now(UTC) + timedelta(hours=1),
        "kubernetes.io": {
            "namespace": "visiontune-jobs",
            "pod": {"name": metadata["name"], "uid": metadata["uid"]},
        },
        **changed,
    }
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, key, algorithm="RS256", headers={"kid": key_id})


def test_a_good_token_tells_the_pod() -> None:
    assert pod_tokens.verify(token(), jwks(("k1", KEY)), ISSUER) == PodIdentity("visiontune-jobs", "p", "u")


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": ["somebody-else"]},
        {"aud": None},
        {"iss": "https://another.cluster"},
        {"exp": datetime(2020, 1, 1, tzinfo=UTC)},
        {"exp": None},
        {"kubernetes.io": {"namespace": "visiontune-jobs"}},
        {"kubernetes.io": None},
        {"key": OTHER_KEY},
    ],
)
def test_any_other_is_not_believed(changed: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated) as refused:
        pod_tokens.verify(token(**changed), jwks(("k1", KEY)), ISSUER)
    assert refused.value.reason == "InvalidToken"


def test_what_is_no_token_is_not_believed() -> None:
    for text in ("", "x", "a.b.c"):
        with pytest.raises(Unauthenticated):
            pod_tokens.verify(text, jwks(("k1", KEY)), ISSUER)


def test_an_unsigned_token_is_not_believed() -> None:
    unsigned = jwt.encode({"aud": "visiontune-worker"}, "", algorithm="none", headers={"kid": "k1"})
    with pytest.raises(Unauthenticated):
        pod_tokens.verify(unsigned, jwks(("k1", KEY)), ISSUER)


def test_a_key_that_is_not_there_is_told_apart() -> None:
    with pytest.raises(UnknownKey):
        pod_tokens.verify(token(), jwks(("k2", KEY)), ISSUER)


@pytest.fixture
async def backend(
    cluster: Cluster, connected: Callable[[], Api], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[KubernetesBackend]:
    monkeypatch.setattr(api_module, "_FIRST_PAUSE_S", 0.0)
    cluster.published |= {
        "/.well-known/openid-configuration": {"issuer": ISSUER},
        "/openid/v1/jwks": jwks(("k1", KEY)),
    }
    made = KubernetesBackend(connected, PLACES, CHOICES, ClusterClock(cluster))
    await made.launch(make_launch())
    cluster.make_pods(cluster.objects["jobs", name_of(ATTEMPT, CHOICES.installation)])
    yield made
    await made.close()


def pod_of(cluster: Cluster) -> dict[str, Any]:
    return cluster.all("pods")[0]


async def test_the_token_of_an_attempts_pod_names_the_attempt(
    backend: KubernetesBackend, cluster: Cluster
) -> None:
    assert await backend.attempt_of(token(pod_of(cluster))) == ATTEMPT
    assert await backend.attempt_of(token(pod_of(cluster))) == ATTEMPT
    assert cluster.calls["get raw"] == 2, "the cluster's keys are asked for once"


async def test_new_keys_of_the_cluster_are_fetched(backend: KubernetesBackend, cluster: Cluster) -> None:
    await backend.attempt_of(token(pod_of(cluster)))
    cluster.published["/openid/v1/jwks"] = jwks(("k2", OTHER_KEY))
    with pytest.raises(Unauthenticated, match="no key k2"):
        await backend.attempt_of(token(pod_of(cluster), key=OTHER_KEY, key_id="k2"))
    backend._keys_until = 0.0
    assert await backend.attempt_of(token(pod_of(cluster), key=OTHER_KEY, key_id="k2")) == ATTEMPT
    with pytest.raises(Unauthenticated, match="no key k3"):
        await backend.attempt_of(token(pod_of(cluster), key_id="k3"))


async def test_a_pod_that_has_ended_is_not_believed(backend: KubernetesBackend, cluster: Cluster) -> None:
    held = token(pod_of(cluster))
    cluster.run(pod_of(cluster))
    assert await backend.attempt_of(held) == ATTEMPT
    cluster.exit(pod_of(cluster), 1)
    with pytest.raises(Unauthenticated, match="does not run"):
        await backend.attempt_of(held)
    cluster.remove("pods", pod_of(cluster)["metadata"]["name"])
    with pytest.raises(Unauthenticated, match="does not run"):
        await backend.attempt_of(held)


async def test_a_pod_that_took_the_name_of_another_is_not_believed(
    backend: KubernetesBackend, cluster: Cluster
) -> None:
    pod = pod_of(cluster)
    impostor = {"metadata": {**pod["metadata"], "uid": "another"}}
    with pytest.raises(Unauthenticated):
        await backend.attempt_of(token(impostor))
    elsewhere: Any = {
        "namespace": "theirs",
        "pod": {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]},
    }
    with pytest.raises(Unauthenticated):
        await backend.attempt_of(token(pod, **{"kubernetes.io": elsewhere}))


async def test_a_pod_that_only_wears_the_labels_is_not_believed(
    backend: KubernetesBackend, cluster: Cluster
) -> None:
    pod = pod_of(cluster)
    pod["metadata"]["ownerReferences"] = []
    with pytest.raises(Unauthenticated, match="belongs to no attempt"):
        await backend.attempt_of(token(pod))


async def test_a_job_that_claims_another_attempt_is_not_believed(
    backend: KubernetesBackend, cluster: Cluster
) -> None:
    job = cluster.objects["jobs", name_of(ATTEMPT, CHOICES.installation)]
    job["metadata"]["labels"]["visiontune.dev/attempt"] = "7"
    with pytest.raises(Unauthenticated, match="another attempt's name"):
        await backend.attempt_of(token(pod_of(cluster)))


@pytest.mark.parametrize("code", [0, 403, 500])
async def test_a_cluster_that_cannot_be_asked_refuses_nobody(
    backend: KubernetesBackend, cluster: Cluster, code: int
) -> None:
    held = token(pod_of(cluster))
    cluster.faults.append(Fault("get", code))
    with pytest.raises(BackendUnavailable):
        await backend.attempt_of(held)
    assert await backend.attempt_of(held) == ATTEMPT
