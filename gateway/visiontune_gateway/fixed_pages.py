"""The few pages that come from no contract: OpenAPI, keys, health."""

import hashlib
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from visiontune_gateway.rest.answers import json_text

_SERVING = "SERVING"


class Health(Protocol):
    """The programs behind the gateway."""

    async def health(self) -> dict[str, str]:
        """Returns SERVING, NOT_SERVING or UNREACHABLE for each."""


class FixedPages:
    """Answers that are the same for everybody."""

    def __init__(self, openapi: dict[str, Any], jwks: str, upstreams: Health) -> None:
        self._openapi = json_text(openapi)
        self._etag = f'"{hashlib.sha256(self._openapi.encode()).hexdigest()[:16]}"'
        self._jwks = jwks
        self._upstreams = upstreams

    async def openapi(self, request: Request) -> Response:
        """The OpenAPI document."""
        headers = {"ETag": self._etag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == self._etag:
            return Response(status_code=304, headers=headers)
        return Response(self._openapi, media_type="application/json", headers=headers)

    async def jwks(self, _request: Request) -> Response:
        """The public key that the gateway's tokens are signed with."""
        return Response(
            self._jwks, media_type="application/jwk-set+json", headers={"Cache-Control": "max-age=300"}
        )

    async def healthz(self, _request: Request) -> Response:
        """Says that this process answers."""
        return JSONResponse({"status": _SERVING})

    async def readyz(self, _request: Request) -> Response:
        """Every program behind answers too; each is named."""
        states = await self._upstreams.health()
        ready = all(state == _SERVING for state in states.values())
        content = {"status": _SERVING if ready else "NOT_SERVING", "services": states}
        return JSONResponse(content, 200 if ready else 503)
