"""Protobuf to HTTP: answers, and failures as google.rpc.Status with the right HTTP code."""

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, timestamp_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2
from starlette.responses import Response
from visiontune_kit.errors import Failure, ResourceExhausted
from visiontune_kit.status import to_status

from visiontune_gateway.rest.routes import HTTP_BODY, Route, WrongVerb

HTTP_CODES: Mapping[int, int] = {
    code_pb2.OK: 200,
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.FAILED_PRECONDITION: 400,
    code_pb2.OUT_OF_RANGE: 400,
    code_pb2.UNAUTHENTICATED: 401,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.NOT_FOUND: 404,
    code_pb2.ALREADY_EXISTS: 409,
    code_pb2.ABORTED: 409,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.CANCELLED: 499,
    code_pb2.UNIMPLEMENTED: 501,
    code_pb2.UNAVAILABLE: 503,
    code_pb2.DEADLINE_EXCEEDED: 504,
}
# What an HTTP client is told beside the code.
_HINTS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": 'Bearer realm="visiontune"'},
    503: {"Retry-After": "1"},
}
# Answers are about one caller, and may hold bytes that users uploaded: nothing keeps or runs them.
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
}


class RequestTooLarge(ResourceExhausted):
    """The body is larger than this gateway takes."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"The request is larger than {limit_bytes:,} bytes. Files go to the object store by the signed "
            "URLs of CreateUpload."
        )


# What never changes while its version is there. After a while it is asked for again, since a deleted
# dataset's names can be given to another.
_IMMUTABLE = frozenset(
    f"visiontune.dataset.v1.DatasetService.{name}" for name in ("GetExampleImage", "GetThumbnails")
)
_KEPT = "private, max-age=300"
# So long a cache on the way may show a linked picture after its version was deleted.
_LINKED_MOST_S = 86_400


def answer(route: Route, message: Message, if_none_match: str = "") -> Response:
    """Returns a method's answer, or that it is the one which the caller has (`if_none_match`: its ETags)."""
    response = _whole(route, message)
    if route.is_open:
        response.headers.update(_of_a_link(message))
    elif route.method.full_name in _IMMUTABLE:
        response.headers.update({"Cache-Control": f"{_KEPT}, immutable", "Vary": "Authorization"})
    else:
        return response
    etag = f'"{hashlib.sha256(response.body).hexdigest()[:32]}"'
    response.headers["ETag"] = etag
    if etag not in {each.strip().removeprefix("W/") for each in if_none_match.split(",")}:
        return response
    for name in ("content-length", "content-type"):
        del response.headers[name]
    return Response(status_code=304, headers=response.headers)


def _of_a_link(body: Any) -> dict[str, str]:
    """Headers of a picture that is for all who have its link: caches on the way, pages of other sites."""
    end = timestamp_pb2.Timestamp()
    body.extensions[0].Unpack(end)
    left_s = max(0, end.seconds - int(time.time()))
    return {
        "Cache-Control": f"public, max-age={min(left_s, _LINKED_MOST_S)}, immutable",
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }


def _whole(route: Route, message: Message) -> Response:
    """google.api.HttpBody is sent raw, all else as proto JSON."""
    if message.DESCRIPTOR.full_name == HTTP_BODY:
        body: Any = message
        return Response(
            body.data,
            media_type=body.content_type or "application/octet-stream",
            headers={**HEADERS, "Cache-Control": _KEPT},
        )
    content: Any = json_format.MessageToDict(message)
    if route.response_body:
        field = route.method.output_type.fields_by_name[route.response_body]
        content = content.get(field.json_name)
    return json_response(content)


def json_response(content: Any, code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Returns `content` as JSON that nobody caches."""
    return Response(
        json_text(content), code, media_type="application/json", headers={**HEADERS, **(headers or {})}
    )


def json_text(content: Any) -> str:
    """Returns JSON on one line, characters as they are."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def refusal(failure: Failure) -> Response:
    """Returns a failure as google.rpc.Status."""
    content = status_content(failure)
    code = HTTP_CODES.get(content["code"], 500)
    headers = dict(_HINTS.get(code, {}))
    if isinstance(failure, WrongVerb):
        code, headers = 405, {"Allow": ", ".join(failure.allowed)}
    if isinstance(failure, RequestTooLarge):
        code, headers = 413, {"Connection": "close"}
    return json_response(content, code, headers)


def status_content(failure: Failure) -> dict[str, Any]:
    """Returns {code, message, details} with the details' types."""
    content: dict[str, Any] = json_format.MessageToDict(to_status(failure))
    return content
