"""API key in, short-lived token out: what the services are shown instead of the key."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from visiontune_kit.errors import Unauthenticated
from visiontune_kit.identity import Kind, Principal, Role

from visiontune_gateway.domain import api_keys as domain
from visiontune_gateway.domain.api_keys import InvalidApiKey
from visiontune_gateway.ports import Deps

TOKEN_TTL_S = 300.0
# The key is looked up again this long before its token ends, so that a token is never about to end
# when a call begins, and a revoked key is dead within five minutes.
_RENEW_BEFORE_S = 90.0
_MOST_REMEMBERED = 10_000
_SCHEME = "bearer"
_ANYONE = Principal(subject="anyone", project="", role=Role.VIEWER, kind=Kind.USER)


class MissingApiKey(Unauthenticated):
    """Nothing, or nothing readable, came in the Authorization header."""

    def __init__(self) -> None:
        super().__init__(
            "Send the header `Authorization: Bearer <API key>`. `visiontune up` wrote the first key to "
            "~/.visiontune/api-key; an admin of a project makes more."
        )


@dataclass(frozen=True, slots=True)
class _Minted:
    token: str
    good_until: float


class Exchange:
    """Tokens for keys, remembered for some minutes."""

    def __init__(self, deps: Deps, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._deps = deps
        self._monotonic = monotonic
        self._minted: dict[str, _Minted] = {}

    async def token_for(self, header: str | None) -> str:
        """Returns the token to forward. Raises MissingApiKey or InvalidApiKey.

        A bearer that is no API key is passed on as it is: the services judge tokens of other issuers.
        """
        scheme, _, bearer = (header or "").strip().partition(" ")
        bearer = bearer.strip()
        if scheme.lower() != _SCHEME or not bearer:
            raise MissingApiKey
        if not bearer.startswith(domain.PREFIX):
            return bearer
        # Remembered by digest, so that no key lies in memory for long.
        mark = hashlib.sha256(bearer.encode()).hexdigest()
        return self._known(mark) or self._mint(mark, await authenticate(bearer, self._deps))

    def token_for_anyone(self) -> str:
        """Returns a token that belongs to no project, for methods that are open to all."""
        return self._known(_ANYONE.subject) or self._mint(_ANYONE.subject, _ANYONE)

    def _known(self, mark: str) -> str:
        known = self._minted.get(mark)
        return known.token if known and self._monotonic() < known.good_until else ""

    def _mint(self, mark: str, principal: Principal) -> str:
        token = self._deps.minter.mint(principal, TOKEN_TTL_S)
        if len(self._minted) >= _MOST_REMEMBERED:
            self._minted.clear()
        self._minted[mark] = _Minted(token, self._monotonic() + TOKEN_TTL_S - _RENEW_BEFORE_S)
        return token


async def authenticate(bearer: str, deps: Deps) -> Principal:
    """Returns who holds the key. Raises InvalidApiKey."""
    key_id, secret = domain.split(bearer)
    async with deps.unit_of_work() as uow:
        key = await uow.keys.find(key_id)
    if key is None or not key.has_secret(secret):
        raise InvalidApiKey
    return Principal(subject=f"key:{key.id}", project=key.project, role=Role(key.role), kind=Kind.USER)
