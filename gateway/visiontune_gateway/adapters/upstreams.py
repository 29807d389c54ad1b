"""Channels to the programs behind the gateway. They carry the caller's own token, never one of ours."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from visiontune_kit import channels, status
from visiontune_kit.errors import Failure, Unavailable
from visiontune_kit.interceptors import DeadlinePassed
from visiontune_kit.tls import ClientTls

from visiontune_gateway.rest.routes import Route

Metadata = tuple[tuple[str, str], ...]


class UpstreamUnavailable(Unavailable):
    """A program behind the gateway does not answer."""

    def __init__(self, upstream: str) -> None:
        super().__init__(f"The {upstream} service cannot be reached at the moment. Try again shortly.")


class Upstreams:
    """One channel a program, shared by all calls."""

    def __init__(self, all_channels: Mapping[str, grpc.aio.Channel]) -> None:
        self._channels = all_channels
        self._methods: dict[Route, Any] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, targets: Mapping[str, str], tls: ClientTls | None = None) -> AsyncIterator[Self]:
        """Opens a channel to each target and closes them at the end of the block."""
        opened = {name: _channel(target, tls) for name, target in targets.items()}
        try:
            yield cls(opened)
        finally:
            await asyncio.gather(*(channel.close(None) for channel in opened.values()))

    async def unary(self, route: Route, request: Message, metadata: Metadata, timeout_s: float) -> Message:
        """Calls a method of one answer. Raises Failure."""
        try:
            answer: Message = await self._method(route)(request, metadata=metadata, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise failure_of(route.upstream, error) from error
        return answer

    async def send(
        self, route: Route, requests: AsyncIterator[Message], metadata: Metadata, timeout_s: float
    ) -> Message:
        """Calls a method of many requests and one answer. Raises Failure, and whatever `requests` raises."""
        call = self._method(route)(metadata=metadata, timeout=timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # it is answered already
                    async for request in requests:
                        await call.write(request)
                    await call.done_writing()
                answer: Message = await call
        except TimeoutError as error:
            raise DeadlinePassed from error
        except grpc.aio.AioRpcError as error:
            raise failure_of(route.upstream, error) from error
        finally:
            call.cancel()
        return answer

    def stream(self, route: Route, request: Message, metadata: Metadata) -> "Stream":
        """Begins a method of many answers."""
        return Stream(route.upstream, self._method(route)(request, metadata=metadata))

    async def health(self, timeout_s: float = 2.0) -> dict[str, str]:
        """Returns SERVING, NOT_SERVING or UNREACHABLE for each program."""
        states = await asyncio.gather(*(_health(channel, timeout_s) for channel in self._channels.values()))
        return dict(zip(self._channels, states, strict=True))

    def _method(self, route: Route) -> Any:
        if route not in self._methods:
            channel = self._channels[route.upstream]
            make: Any = channel.unary_stream if route.method.server_streaming else channel.unary_unary
            if route.method.client_streaming:
                make = channel.stream_unary
            self._methods[route] = make(
                route.grpc_path,
                request_serializer=GetMessageClass(route.method.input_type).SerializeToString,
                response_deserializer=GetMessageClass(route.method.output_type).FromString,
            )
        return self._methods[route]


class Stream:
    """A running call of many answers."""

    def __init__(self, upstream: str, call: Any) -> None:
        self._upstream = upstream
        self._call = call

    async def read(self) -> Message | None:
        """Returns the next answer, or None after the last. Raises Failure."""
        try:
            answer = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise failure_of(self._upstream, error) from error
        return answer if isinstance(answer, Message) else None  # else it is grpc.aio.EOF

    def cancel(self) -> None:
        """Ends the call; harmless when it has ended."""
        self._call.cancel()


def failure_of(upstream: str, error: grpc.aio.AioRpcError) -> Failure:
    """Returns the failure that the program described; gRPC's own words name inner addresses and stay here."""
    failure = status.from_rpc_error(error)
    said_by_server = failure.reason != type(failure).__name__
    if isinstance(failure, Unavailable) and not said_by_server:
        return UpstreamUnavailable(upstream)
    return failure


def _channel(target: str, tls: ClientTls | None) -> grpc.aio.Channel:
    if tls is None:
        return grpc.aio.insecure_channel(target, channels.OPTIONS)
    return grpc.aio.secure_channel(target, channels.credentials_of(tls), channels.OPTIONS)


async def _health(channel: grpc.aio.Channel, timeout_s: float) -> str:
    check = health_pb2_grpc.HealthStub(channel).Check
    try:
        answer = await check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
    except grpc.aio.AioRpcError:
        return "UNREACHABLE"
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
