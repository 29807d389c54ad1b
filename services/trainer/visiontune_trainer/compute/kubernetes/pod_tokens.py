"""Whether a token is one that this cluster gave a pod, for us. Pure but for the clock of PyJWT."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from visiontune_kit.errors import Unauthenticated

from visiontune_trainer.compute.kubernetes.manifests import TOKEN_AUDIENCE

_ALGORITHMS = ["RS256", "ES256", "ES384", "ES512"]
_LEEWAY_S = 30


class UnknownKey(Exception):  # noqa: N818 - the keys may only be old
    """The token was signed by a key that is not among these."""


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """The pod that a token was made for."""

    namespace: str
    name: str
    uid: str


def verify(token: str, keys: Mapping[str, Any], issuer: str) -> PodIdentity:
    """Checks signature, issuer, audience and expiry. Raises Unauthenticated, UnknownKey.

    keys: the cluster's JSON Web Key Set.
    """
    try:
        key_id = jwt.get_unverified_header(token).get("kid")
        key = next((key for key in keys.get("keys", []) if key.get("kid") == key_id), None)
        if key is None:
            raise UnknownKey(key_id)
        claims = jwt.decode(
            token,
            jwt.PyJWK(key),
            algorithms=_ALGORITHMS,
            audience=TOKEN_AUDIENCE,
            issuer=issuer,
            leeway=_LEEWAY_S,
            options={"require": ["exp", "iss", "aud"]},
        )
        bound = claims["kubernetes.io"]
        pod = bound["pod"]
        return PodIdentity(str(bound["namespace"]), str(pod["name"]), str(pod["uid"]))
    except (jwt.PyJWTError, KeyError, TypeError) as error:
        raise refused(str(error) or type(error).__name__) from error


def refused(why: str) -> Unauthenticated:
    """The error for a token that is not believed."""
    return Unauthenticated(f"This is no token of a worker's pod: {why}.", reason="InvalidToken")
