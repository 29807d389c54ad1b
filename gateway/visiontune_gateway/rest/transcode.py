"""The one handler of every REST call."""

import asyncio
import secrets
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl

from google.protobuf.message import Message
from google.rpc import code_pb2
from opentelemetry import metrics, propagate, trace
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from visiontune_kit import logs, telemetry
from visiontune_kit.errors import Failure, Violation
from visiontune_kit.interceptors import Crashed

from visiontune_gateway.rest import answers, sse
from visiontune_gateway.rest.answers import RequestTooLarge
from visiontune_gateway.rest.reading import UnreadableRequest, request_message
from visiontune_gateway.rest.routes import Route, Routes

TIMEOUT_HEADER = "x-request-timeout"
_FIRST_ANSWER_PATIENCE_S = 2.0
_NO_ROUTE = "none"

Metadata = tuple[tuple[str, str], ...]
log = logs.get(__name__)


class Upstreams(Protocol):
    """The programs that answer."""

    async def unary(self, route: Route, request: Message, metadata: Metadata, timeout_s: float) -> Message:
        """Calls a method of one answer. Raises Failure."""

    async def send(
        self, route: Route, requests: AsyncIterator[Message], metadata: Metadata, timeout_s: float
    ) -> Message:
        """Calls a method of many requests and one answer. Raises Failure, and whatever `requests` raises."""

    def stream(self, route: Route, request: Message, metadata: Metadata) -> sse.Answers:
        """Begins a method of many answers."""


class Tokens(Protocol):
    """What the services are shown."""

    async def token_for(self, header: str | None) -> str:
        """Returns the token for an Authorization header. Raises Unauthenticated."""

    def token_for_anyone(self) -> str:
        """Returns the token for who shows nothing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator decides."""

    request_bytes: int
    call_timeout_s: float
    sse_comment_interval_s: float


class Transcoder:
    """Turns one HTTP request into one gRPC call, and its answer back."""

    def __init__(
        self,
        routes: Routes,
        upstreams: Upstreams,
        tokens: Tokens,
        limits: Limits,
        stopping: asyncio.Event,
    ) -> None:
        self._routes = routes
        self._upstreams = upstreams
        self._tokens = tokens
        self._limits = limits
        self._stopping = stopping
        self._durations = metrics.get_meter("visiontune").create_histogram(
            "http_server_duration_seconds", unit="s", description="REST calls by method, verb and HTTP code."
        )

    async def answer(self, request: Request) -> Response:
        """Answers every request below /v1."""
        started = time.perf_counter()
        name, as_stream = _NO_ROUTE, False
        response = answers.refusal(Crashed("none"))
        with telemetry.tracer().start_as_current_span(
            f"{request.method} /v1",
            context=telemetry.extract(_trace_headers(request)),
            kind=trace.SpanKind.SERVER,
        ) as span:
            try:
                route, variables = self._routes.find(request.method, _raw_path(request))
                name, as_stream = route.method.full_name, route.method.client_streaming
                span.update_name(f"{request.method} {route.template.text}")
                response = await self._call(request, route, dict(variables))
            except Failure as failure:
                span.set_attribute("error.type", failure.reason)
                response = answers.refusal(failure)
                if as_stream:  # the rest of its body is not wanted
                    response.headers["Connection"] = "close"
                log.info("call_refused", method=name, code=response.status_code, reason=failure.reason)
            except ClientDisconnect:
                # In the middle of its body. Nobody reads this answer; it is counted, and is no fault of ours.
                response = Response(status_code=answers.HTTP_CODES[code_pb2.CANCELLED])
                log.info("call_abandoned", method=name)
            except Exception as error:
                incident = secrets.token_hex(6)
                log.exception("call_crashed", method=name, incident=incident, error=repr(error))
                response = answers.refusal(Crashed(incident))
            finally:
                span.set_attribute("http.response.status_code", response.status_code)
                labels: dict[str, str | int] = {
                    "method": name,
                    "verb": request.method,
                    "code": response.status_code,
                }
                self._durations.record(time.perf_counter() - started, labels)
        return response

    async def _call(self, request: Request, route: Route, variables: dict[str, str]) -> Response:
        if route.is_open:
            token = self._tokens.token_for_anyone()
        else:
            token = await self._tokens.token_for(request.headers.get("authorization"))
        # A stream's body is passed on as it comes: how much of it is too much is the service's to say.
        as_stream = route.method.client_streaming
        body = b"" if as_stream else await read_body(request, self._limits.request_bytes)
        content_type = request.headers.get("content-type", "")
        message = request_message(route, variables, _query(request), body, content_type)
        _identify(message)
        metadata = _metadata(token)
        if not route.method.server_streaming:
            timeout_s = _timeout_s(request, self._limits.call_timeout_s)
            if as_stream:
                requests = _in_pieces(route, message, request)
                found = await self._upstreams.send(route, requests, metadata, timeout_s)
            else:
                found = await self._upstreams.unary(route, message, metadata, timeout_s)
            return answers.answer(route, found, request.headers.get("if-none-match", ""))
        _resume(message, request.headers.get("last-event-id", ""))
        stream = self._upstreams.stream(route, message, metadata)
        first = await sse.begin(stream, _FIRST_ANSWER_PATIENCE_S)
        interval_s = self._limits.sse_comment_interval_s
        return sse.EventStream(stream, first, stopping=self._stopping, comment_interval_s=interval_s)


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """Returns the body. Raises RequestTooLarge without reading more than the limit."""
    if int(request.headers.get("content-length") or 0) > limit_bytes:
        raise RequestTooLarge(limit_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise RequestTooLarge(limit_bytes)
    return bytes(body)


async def _in_pieces(route: Route, first: Message, request: Request) -> AsyncIterator[Message]:
    """Yields what path, query and headers say, then the body as it comes."""
    yield first
    async for chunk in request.stream():
        if chunk:
            piece = type(first)()
            getattr(piece, route.body).data = chunk
            yield piece


def _raw_path(request: Request) -> str:
    return bytes(request.scope["raw_path"]).decode("ascii", "replace")


def _query(request: Request) -> list[tuple[str, str]]:
    text = bytes(request.scope["query_string"]).decode("ascii", "replace")
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as error:
        violation = Violation("query", "is not percent-encoded UTF-8", "UNREADABLE")
        raise UnreadableRequest([violation]) from error


def _trace_headers(request: Request) -> dict[str, str]:
    return {key: request.headers[key] for key in ("traceparent", "tracestate") if key in request.headers}


def _metadata(token: str) -> Metadata:
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return (("authorization", f"Bearer {token}"), *carrier.items())


def _timeout_s(request: Request, most_s: float) -> float:
    """The caller may ask for less time than the operator allows, not for more."""
    asked = request.headers.get(TIMEOUT_HEADER)
    if asked is None:
        return most_s
    try:
        seconds = float(asked)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        description = f"{asked!r} is not a number of seconds above 0"
        raise UnreadableRequest([Violation(TIMEOUT_HEADER, description, "WRONG_TYPE")])
    return min(seconds, most_s)


def _identify(message: Message) -> None:
    """Names a mutation that its caller left unnamed: our own retries must not do it twice."""
    fields: Any = message
    if "request_id" in message.DESCRIPTOR.fields_by_name and not fields.request_id:
        fields.request_id = str(uuid.uuid4())


def _resume(message: Message, last_event_id: str) -> None:
    """`Last-Event-ID` stands for the cursor where the request names none."""
    field = message.DESCRIPTOR.fields_by_name.get(sse.CURSOR)
    if last_event_id and field is not None and not getattr(message, sse.CURSOR):
        setattr(message, sse.CURSOR, last_event_id)
