"""Channels to other programs: deadlines, retries, keepalive, trace context, tokens, failures as our own.

Needs grpc and the contracts only, since the worker uses it too.
"""

import json
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import Message
from opentelemetry import propagate

from visiontune_kit import deadlines, errors, status
from visiontune_kit.errors import Failure
from visiontune_kit.tls import ClientTls

Tokens = Callable[[Message], str]

_DEFAULT_TIMEOUT_S = 30.0
# What is kept of the caller's own deadline to answer in.
_RESERVE_S = 0.05
_SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{}],
                # Safe for mutations as well: each carries a request_id or is idempotent by state.
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    # CANCELLED is what a call gets that reaches a server in the instant in which it stops.
                    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
                },
            }
        ],
    }
)
OPTIONS: list[tuple[str, Any]] = [
    ("grpc.service_config", _SERVICE_CONFIG),
    ("grpc.enable_retries", 1),
    # Connections of its own: shared ones would pass on the backoff of whoever failed at that address before.
    ("grpc.use_local_subchannel_pool", 1),
    # A proxy of the environment knows neither loopback nor the names of a cluster.
    ("grpc.enable_http_proxy", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
]


class ServiceIdentityRefused(errors.Internal):
    """Another program does not believe this one's token: a matter for the operator, not the caller."""

    def __init__(self, method: str, message: str) -> None:
        super().__init__(f"{method} refused this service's identity: {message} Check the issuers file.")


def connect(
    target: str,
    *,
    tokens: Tokens | None = None,
    tls: ClientTls | None = None,
    options: list[tuple[str, Any]] | None = None,
) -> grpc.aio.Channel:
    """Opens a channel on which calls of one answer raise `visiontune_kit.errors.Failure`.

    target: `host:port`, or `dns:///name:port` for round robin over a headless service.
    tokens: gives the bearer token for a request, or for the first of a list of requests that make one call;
    None sends what the caller put into the metadata.
    tls: None speaks plain text.
    Calls get 30 s unless `timeout=` says otherwise, and never more than the running call has left.
    """
    interceptors: list[Any] = [_Unary(tokens), _Stream(tokens), _ClientStream(tokens), _BothStreams(tokens)]
    settings = [*OPTIONS, *(options or [])]
    if tls is None:
        return grpc.aio.insecure_channel(target, settings, interceptors=interceptors)
    return grpc.aio.secure_channel(target, credentials_of(tls), settings, interceptors=interceptors)


def credentials_of(tls: ClientTls) -> grpc.ChannelCredentials:
    """Reads the files: another certificate is shown from the next start on."""
    key = tls.key_file.read_bytes() if tls.key_file else None
    certificate = tls.certificate_file.read_bytes() if tls.certificate_file else None
    return grpc.ssl_channel_credentials(tls.ca_file.read_bytes(), key, certificate)


class _Outgoing:
    """What every kind of call gets."""

    def __init__(self, tokens: Tokens | None) -> None:
        self._tokens = tokens

    def prepare(self, details: Any, request: Message | None, timeout_s: float | None) -> Any:
        """Returns the call's details with deadline, trace context and token."""
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        for key, value in carrier.items():
            metadata.add(key, value)
        if self._tokens is not None and "authorization" not in metadata and request is not None:
            metadata.add("authorization", f"Bearer {self._tokens(request)}")
        return grpc.aio.ClientCallDetails(
            method=details.method,
            timeout=_bounded(details.timeout or timeout_s),
            metadata=metadata,
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
        )


class _Unary(_Outgoing, grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Message) -> Any:
        call = await continuation(self.prepare(details, request, _DEFAULT_TIMEOUT_S), request)
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise _failure(details.method, error) from error


class _Stream(_Outgoing, grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Message) -> Any:
        return await continuation(self.prepare(details, request, None), request)


class _ClientStream(_Outgoing, grpc.aio.StreamUnaryClientInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    async def intercept_stream_unary(self, continuation: Any, details: Any, requests: Any) -> Any:
        first = requests[0] if isinstance(requests, list) else None
        call = await continuation(self.prepare(details, first, _DEFAULT_TIMEOUT_S), requests)
        try:
            await call
        except grpc.aio.AioRpcError as error:
            raise _failure(details.method, error) from error
        return call  # grpc awaits it once more


class _BothStreams(_Outgoing, grpc.aio.StreamStreamClientInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    async def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        return await continuation(self.prepare(details, None, None), requests)


def _failure(method: str | bytes, error: grpc.aio.AioRpcError) -> Failure:
    failure = status.from_rpc_error(error)
    if isinstance(failure, errors.Unauthenticated):
        name = method.decode() if isinstance(method, bytes) else method
        return ServiceIdentityRefused(name, failure.message)
    return failure


def _bounded(timeout_s: float | None) -> float | None:
    remaining = deadlines.remaining_s()
    if remaining is None:
        return timeout_s
    left = max(remaining - _RESERVE_S, 0.001)
    return left if timeout_s is None else min(timeout_s, left)
