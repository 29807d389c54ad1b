"""What every call passes through before and after its handler.

In this order: telemetry (sees refusals) > errors > deadline > authentication > authorisation >
validation > idempotency.
"""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import protovalidate
from google.protobuf.message import Message
from opentelemetry import metrics, trace

from visiontune_kit import deadlines, errors, idempotency, identity, logs, names, status, telemetry
from visiontune_kit.errors import Failure, Violation
from visiontune_kit.identity import Principal, Role

Authenticator = Callable[[str], Awaitable[Principal]]
Access = Mapping[str, Role]

_PUBLIC = ("/grpc.health.v1.Health/", "/grpc.reflection.")
_BEARER = "bearer "
# A call whose client set no deadline does not run for ever.
_LONGEST_UNARY_S = 600.0

log = logs.get(__name__)


class MissingToken(errors.Unauthenticated):
    """No `authorization` came."""

    def __init__(self) -> None:
        super().__init__("The call carries no token. Send metadata `authorization: Bearer <token>`.")


class RoleTooLow(errors.PermissionDenied):
    """The method needs a higher role."""

    def __init__(self, method: str, needed: Role, has: Role) -> None:
        super().__init__(
            f"{method.rpartition('/')[2]} needs the role {needed.name.lower()}; "
            f"this identity is {has.name.lower()}. Ask an admin of the project for a key with that role."
        )


class ProjectNotFound(errors.NotFound):
    """The request names a project that is not the caller's; whether it exists is not told."""

    def __init__(self, project: str) -> None:
        super().__init__(
            f"projects/{project} was not found, or this identity may not see it.",
            resource=f"projects/{project}",
        )


class DeadlinePassed(errors.DeadlineExceeded):
    """The caller's deadline came before the answer."""

    def __init__(self) -> None:
        super().__init__("The deadline passed before the call was done. Allow more time.")


class Crashed(errors.Internal):
    """Something that nobody foresaw; the log has it under the incident's id."""

    def __init__(self, incident: str) -> None:
        super().__init__(
            f"Something went wrong here (incident {incident}); the server's log has the details.",
            metadata={"incident": incident},
        )


class InvalidRequest(errors.InvalidArgument):
    """The request breaks rules of its proto."""

    def __init__(self, violations: list[Violation]) -> None:
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        super().__init__(f"{first.field}: {first.description}{more}", violations=violations)


class NoRequest(errors.InvalidArgument):
    """A stream of requests that ended before its first."""

    def __init__(self, method: str) -> None:
        super().__init__(f"{method.rpartition('/')[2]} got no message. Send one that says what follows.")


@dataclass(frozen=True)
class Policy:
    """What the gate of one program enforces."""

    access: Access  # full method name -> least role; a method that is not listed is refused
    authenticators: Mapping[str, Authenticator]  # full service name -> its own authentication
    authenticate: Authenticator  # of all other services
    unscoped: frozenset[str] = field(default_factory=frozenset)  # methods about no project
    cross_project: frozenset[str] = field(default_factory=frozenset)  # where operators may name any project


class Gate(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """The one interceptor of a server."""

    def __init__(self, policy: Policy, requests: idempotency.Requests | None = None) -> None:
        self._policy = policy
        self._requests = requests
        meter = metrics.get_meter("visiontune")
        self._durations = meter.create_histogram(
            "rpc_server_duration_seconds", unit="s", description="Calls by method and status code."
        )
        # Counted here and asked for when somebody looks: an instrument's `add` costs more than it seems.
        self._running: Counter[str] = Counter()
        meter.create_observable_up_down_counter(
            "rpc_server_running", [self._observe_running], description="Calls that run now, by method."
        )
        self._tracer = telemetry.tracer()

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Wraps the method's handler into one of the same kind."""
        handler = await continuation(details)
        if handler is None or details.method.startswith(_PUBLIC):
            return handler
        call = _Call(self, details.method, dict(details.invocation_metadata))
        codecs = (handler.request_deserializer, _passing_bytes(handler.response_serializer))
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(call.unary(handler.unary_unary), *codecs)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(call.server_stream(handler.unary_stream), *codecs)
        if handler.stream_unary:
            return grpc.stream_unary_rpc_method_handler(call.client_stream(handler.stream_unary), *codecs)
        return grpc.stream_stream_rpc_method_handler(call.both_streams(handler.stream_stream), *codecs)

    def _observe_running(self, _options: metrics.CallbackOptions) -> Iterator[metrics.Observation]:
        for method, count in [*self._running.items()]:
            yield metrics.Observation(count, {"method": method})

    @asynccontextmanager
    async def observe(self, method: str, metadata: Mapping[str, Any], context: Any) -> AsyncIterator[None]:
        """Telemetry and errors: inside, exceptions mean refusal; outside, there is only a status."""
        started = time.perf_counter()
        code = grpc.StatusCode.OK
        parent = telemetry.extract({key: value for key, value in metadata.items() if key == "traceparent"})
        self._running[method] += 1
        with self._tracer.start_as_current_span(
            method.lstrip("/"), context=parent, kind=trace.SpanKind.SERVER, record_exception=False
        ) as span:
            try:
                yield
            except Failure as failure:
                code = await self._refuse(context, span, method, failure)
            except grpc.aio.AioRpcError as error:
                code = await self._refuse(context, span, method, status.from_rpc_error(error))
            except TimeoutError:
                code = await self._refuse(context, span, method, DeadlinePassed())
            except asyncio.CancelledError:
                code = grpc.StatusCode.CANCELLED
                raise
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                incident = secrets.token_hex(6)
                log.exception("call_crashed", method=method, incident=incident, error=repr(error))
                code = await self._refuse(context, span, method, Crashed(incident))
            finally:
                span.set_attribute("rpc.grpc.status_code", code.value[0])
                self._running[method] -= 1
                duration_s = time.perf_counter() - started
                self._durations.record(duration_s, {"method": method, "code": code.name})

    async def admit(self, method: str, metadata: Mapping[str, Any]) -> Principal:
        """Authentication and role."""
        service = method.split("/")[1]
        own = self._policy.authenticators.get(service)
        header = str(metadata.get("authorization", ""))
        if not header.lower().startswith(_BEARER):
            raise MissingToken
        principal = await (own or self._policy.authenticate)(header[len(_BEARER) :].strip())
        if own is None:
            needed = self._policy.access.get(method)
            if needed is None:
                raise errors.PermissionDenied(f"{method} is not offered to anyone.", reason="NotListed")
            if principal.role < needed:
                raise RoleTooLow(method, needed, principal.role)
        identity.enter(principal)
        return principal

    def check(self, method: str, request: Message, principal: Principal, *, scoped: bool = False) -> None:
        """Project and rules of one request message. scoped: a message before it has named the project."""
        for project in names.projects_of(request):
            scoped = True
            if project != principal.project and not self._may_cross(method, principal):
                raise ProjectNotFound(project)
        try:
            protovalidate.validate(request)
        except protovalidate.ValidationError as error:
            raise InvalidRequest([_violation(violation) for violation in error.violations]) from error
        if not scoped and method not in self._policy.unscoped:
            raise errors.PermissionDenied(
                f"{method} names no project, so nobody can be allowed to call it so.", reason="NoProject"
            )

    def _may_cross(self, method: str, principal: Principal) -> bool:
        return principal.role is Role.OPERATOR and method in self._policy.cross_project

    async def once(self, method: str, request: Message, principal: Principal, handle: Any) -> Any:
        """Idempotency. A stored answer comes as bytes, which `_passing_bytes` sends as they are."""
        if self._requests is None or not idempotency.wants(request):
            return await handle()
        stored = await self._requests.begin(principal.subject, method, request)
        if stored is not None:
            return stored
        try:
            answer = await handle()
        except BaseException:
            await asyncio.shield(self._requests.fail())
            raise
        await self._requests.succeed(answer)
        return answer

    async def _refuse(self, context: Any, span: trace.Span, method: str, failure: Failure) -> grpc.StatusCode:
        code = status.code_of(failure)
        span.set_attribute("error.type", failure.reason)
        log.info(
            "call_refused", method=method, code=code.name, reason=failure.reason, message=failure.message
        )
        packed = status.to_status(failure)
        context.set_code(code)
        context.set_details(packed.message)
        context.set_trailing_metadata(((status.DETAILS_HEADER, packed.SerializeToString()),))
        return code


class _Call:
    """One method's handler, behind the gate. Every kind passes the same steps."""

    def __init__(self, gate: Gate, method: str, metadata: Mapping[str, Any]) -> None:
        self._gate = gate
        self._method = method
        self._metadata = metadata

    def unary(self, behaviour: Any) -> Any:
        """Wraps a method of one request and one answer."""

        async def handle(request: Message, context: Any) -> Any:
            answer = None
            async with self._gate.observe(self._method, self._metadata, context):
                async with asyncio.timeout(_enter_deadline(context)):
                    principal = await self._gate.admit(self._method, self._metadata)
                    self._gate.check(self._method, request, principal)
                    answer = await self._gate.once(
                        self._method, request, principal, lambda: behaviour(request, context)
                    )
            return answer

        return handle

    def server_stream(self, behaviour: Any) -> Any:
        """Wraps a method of one request and many answers."""

        async def handle(request: Message, context: Any) -> AsyncIterator[Message]:
            async with self._gate.observe(self._method, self._metadata, context):
                principal = await self._gate.admit(self._method, self._metadata)
                self._gate.check(self._method, request, principal)
                async for answer in behaviour(request, context):
                    yield answer

        return handle

    def client_stream(self, behaviour: Any) -> Any:
        """Wraps a method of many requests and one answer.

        The first request names the project, and the id by which a repetition is known: it has to tell all
        that makes two calls the same.
        """

        async def handle(requests: AsyncIterator[Message], context: Any) -> Any:
            answer = None
            async with self._gate.observe(self._method, self._metadata, context):
                async with asyncio.timeout(_enter_deadline(context)):
                    principal = await self._gate.admit(self._method, self._metadata)
                    checked = self._checked(requests, principal)
                    first = await anext(checked, None)
                    if first is None:
                        raise NoRequest(self._method)
                    answer = await self._gate.once(
                        self._method, first, principal, lambda: behaviour(_behind(first, checked), context)
                    )
            return answer

        return handle

    def both_streams(self, behaviour: Any) -> Any:
        """Wraps a method of many requests and many answers."""

        async def handle(requests: AsyncIterator[Message], context: Any) -> AsyncIterator[Message]:
            async with self._gate.observe(self._method, self._metadata, context):
                principal = await self._gate.admit(self._method, self._metadata)
                async for answer in behaviour(self._checked(requests, principal), context):
                    yield answer

        return handle

    async def _checked(
        self, requests: AsyncIterator[Message], principal: Principal
    ) -> AsyncIterator[Message]:
        scoped = False
        async for request in requests:
            self._gate.check(self._method, request, principal, scoped=scoped)
            scoped = True
            yield request


async def _behind(first: Message, rest: AsyncIterator[Message]) -> AsyncIterator[Message]:
    yield first
    async for request in rest:
        yield request


def _passing_bytes(serialize: Callable[[Message], bytes]) -> Callable[[Any], bytes]:
    """Serialises messages; bytes are stored answers, which are serialised already."""
    return lambda answer: answer if isinstance(answer, bytes) else serialize(answer)


def _enter_deadline(context: Any) -> float:
    """Notes the call's deadline for the calls that it makes itself; returns the seconds it has."""
    remaining = context.time_remaining()
    seconds = _LONGEST_UNARY_S if remaining is None else min(float(remaining), _LONGEST_UNARY_S)
    deadlines.enter(seconds)
    return seconds


def _violation(violation: Any) -> Violation:
    field_path = violation.proto.field  # None for a rule of the whole message
    elements = field_path.elements if field_path else ()
    path = ".".join(element.field_name + _subscript(element) for element in elements)
    return Violation(path or "request", violation.proto.message, violation.proto.rule_id)


def _subscript(element: Any) -> str:
    """`[3]` for an element of a list, `["key"]` of a map, nothing for a plain field."""
    subscript = element.subscript
    if subscript is None:
        return ""
    value = getattr(subscript, "value", subscript)
    return f"[{value!r}]" if isinstance(value, str) else f"[{value}]"
