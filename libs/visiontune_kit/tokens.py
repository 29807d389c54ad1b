"""Short-lived signed tokens (JWT, RFC 7519) that carry principals between programs."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from google.protobuf.message import Message
from pydantic import BaseModel, ConfigDict, TypeAdapter

from visiontune_kit import names
from visiontune_kit.clock import Clock, SystemClock
from visiontune_kit.errors import Unauthenticated
from visiontune_kit.identity import Kind, Principal, Role

AUDIENCE = "visiontune"
ALGORITHM = "EdDSA"
# Clocks of two machines may differ by this much.
_LEEWAY = timedelta(seconds=30)
_SERVICE_TTL_S = 300.0
# A token is checked anew this often, so that it outlives its expiry by no more.
_BELIEVED_S = 15.0
_MOST_BELIEVED = 1_000


class Issuer(BaseModel):
    """Someone whose tokens are believed, and as what."""

    model_config = ConfigDict(extra="forbid")

    issuer: str
    kind: Kind
    jwks_file: Path | None = None
    jwks_url: str | None = None

    def find_key(self, token: str) -> jwt.PyJWK:
        """Returns the key that `token` names. Raises jwt.PyJWTError when there is none."""
        if self.jwks_url:
            return _clients.setdefault(
                self.jwks_url, jwt.PyJWKClient(self.jwks_url, cache_keys=True, timeout=5)
            ).get_signing_key_from_jwt(token)
        if self.jwks_file is None:
            raise jwt.InvalidKeyError(f"issuer {self.issuer} has neither jwks_file nor jwks_url")
        key_id = jwt.get_unverified_header(token).get("kid")
        keys = jwt.PyJWKSet.from_json(self.jwks_file.read_text(encoding="utf-8")).keys
        found = next((key for key in keys if key.key_id == key_id), None)
        if found is None:
            raise jwt.InvalidKeyError(f"issuer {self.issuer} has no key {key_id}")
        return found


_clients: dict[str, jwt.PyJWKClient] = {}
_ISSUERS = TypeAdapter(list[Issuer])


class TokenVerifier:
    """Believes tokens of listed issuers only, each as the kind that the list says."""

    def __init__(self, issuers: Sequence[Issuer]) -> None:
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self._believed: dict[str, tuple[Principal, float]] = {}

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Reads a JSON list of issuers; relative `jwks_file` paths start from the list's folder."""
        issuers = _ISSUERS.validate_json(path.read_bytes())
        for issuer in issuers:
            if issuer.jwks_file is not None:
                issuer.jwks_file = path.parent / issuer.jwks_file
        return cls(issuers)

    def verify(self, token: str) -> Principal:
        """Checks signature, issuer, audience and expiry. Raises Unauthenticated."""
        try:
            claims = self.claims(token, AUDIENCE)
            return Principal(
                subject=str(claims["sub"]),
                project=str(claims["project"]),
                role=Role[str(claims["role"]).upper()],
                kind=self._issuers[claims["iss"]].kind,
            )
        except (jwt.PyJWTError, KeyError, OSError) as error:
            raise Unauthenticated(f"The token is not valid here: {error}.", reason="InvalidToken") from error

    def claims(self, token: str, audience: str, leeway: timedelta = _LEEWAY) -> Mapping[str, Any]:
        """Returns what a token of a listed issuer says. Raises jwt.PyJWTError, OSError."""
        claimed = jwt.decode(token, options={"verify_signature": False}).get("iss", "")
        issuer = self._issuers.get(claimed)
        if issuer is None:
            raise jwt.InvalidIssuerError(f"issuer {claimed!r} is not trusted here")
        found: Mapping[str, Any] = jwt.decode(
            token,
            issuer.find_key(token),
            algorithms=[ALGORITHM, "ES256", "RS256"],
            audience=audience,
            issuer=issuer.issuer,
            leeway=leeway,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
        return found

    async def authenticate(self, token: str) -> Principal:
        """The same as `verify`, remembering what it believed for a short while."""
        now = time.monotonic()
        principal, good_until = self._believed.get(token, (None, 0.0))
        if principal is None or now >= good_until:
            # A JWKS may have to be fetched, which must not hold up other calls.
            principal = await asyncio.to_thread(self.verify, token)
            if len(self._believed) >= _MOST_BELIEVED:
                self._believed.clear()
            self._believed[token] = (principal, now + _BELIEVED_S)
        return principal


class TokenMinter:
    """Signs tokens with one Ed25519 key."""

    def __init__(self, private_key_pem: bytes, issuer: str, clock: Clock | None = None) -> None:
        key = load_pem_private_key(private_key_pem, password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("the signing key must be an Ed25519 private key in PEM form")
        self._key = key
        self.issuer = issuer
        self._clock = clock or SystemClock()
        self._key_id = key_id(key)

    @classmethod
    def from_file(cls, path: Path, issuer: str) -> Self:
        """Reads the key from a PEM file."""
        return cls(path.read_bytes(), issuer)

    def mint(self, principal: Principal, ttl_s: float = 300) -> str:
        """Returns a JWT that says who `principal` is for `ttl_s` seconds."""
        now = self._clock.now()
        claims = {
            "sub": principal.subject,
            "project": principal.project,
            "role": principal.role.name.lower(),
            "iat": now,
        }
        return self.sign(claims, AUDIENCE, now + timedelta(seconds=ttl_s))

    def sign(self, claims: Mapping[str, Any], audience: str, ends_at: datetime) -> str:
        """Returns a JWT that says `claims`; the same for the same arguments, as Ed25519 draws no numbers."""
        whole = {"iss": self.issuer, "aud": audience, **claims, "exp": ends_at}
        return jwt.encode(whole, self._key, algorithm=ALGORITHM, headers={"kid": self._key_id})


def public_jwk(key: Ed25519PrivateKey) -> dict[str, str]:
    """Returns the public half as a JSON Web Key (RFC 8037)."""
    numbers = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key()))
    return {**numbers, "kid": key_id(key), "use": "sig", "alg": ALGORITHM}


def key_id(key: Ed25519PrivateKey) -> str:
    """Returns the first 16 characters of the public key's RFC 8037 `x`, which name it well enough."""
    return str(json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key()))["x"])[:16]


class ServiceTokens:
    """Tokens with which a service calls others, one a project, renewed before they end."""

    def __init__(self, minter: TokenMinter, service: str) -> None:
        self._minter = minter
        self._service = service
        self._minted: dict[str, tuple[str, float]] = {}

    def __call__(self, request: Message) -> str:
        """Returns a token for the project that `request` names, or for none."""
        project = names.project_of(request) or ""
        token, good_until = self._minted.get(project, ("", 0.0))
        if time.monotonic() >= good_until:
            principal = Principal(
                subject=f"service:{self._service}", project=project, role=Role.EDITOR, kind=Kind.SERVICE
            )
            token = self._minter.mint(principal, _SERVICE_TTL_S)
            self._minted[project] = (token, time.monotonic() + _SERVICE_TTL_S / 2)
        return token
