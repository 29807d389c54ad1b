"""The handler of REST calls, where no real client can be made to behave so."""

import asyncio
from collections.abc import Iterator
from typing import Any, cast

from starlette.requests import Request
from structlog.testing import capture_logs
from visiontune_gateway.rest.contracts import rules
from visiontune_gateway.rest.routes import Routes
from visiontune_gateway.rest.transcode import Limits, Transcoder


class _Tokens:
    async def token_for(self, _header: str | None) -> str:
        return "token"

    def token_for_anyone(self) -> str:
        return "token"


async def test_a_client_that_leaves_within_its_body_is_no_fault_of_ours() -> None:
    body: Iterator[dict[str, Any]] = iter(
        [{"type": "http.request", "body": b'{"dis', "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> dict[str, Any]:
        return next(body)

    path = b"/v1/projects/default/datasets"
    scope = {"type": "http", "method": "POST", "raw_path": path, "query_string": b"", "headers": []}
    nobody = cast("Any", None)  # No service is asked.
    transcoder = Transcoder(Routes.of(rules()), nobody, _Tokens(), Limits(1024, 1, 1), asyncio.Event())
    with capture_logs() as logged:
        answer = await transcoder.answer(Request(scope, receive))
    assert answer.status_code == 499
    assert [entry["event"] for entry in logged] == ["call_abandoned"]
