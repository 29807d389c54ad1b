"""The wiring: the one place that constructs things."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route
from visiontune.identity.v1 import identity_pb2_grpc
from visiontune_kit import logs, server, telemetry
from visiontune_kit.clock import SystemClock
from visiontune_kit.database import Database
from visiontune_kit.server import Program, Rpc
from visiontune_kit.tokens import TokenMinter

from visiontune_gateway import http_server, keys, rpc
from visiontune_gateway.adapters.database import UnitOfWork
from visiontune_gateway.adapters.upstreams import Upstreams
from visiontune_gateway.fixed_pages import FixedPages
from visiontune_gateway.openapi import document
from visiontune_gateway.ports import Deps
from visiontune_gateway.rest.contracts import rules
from visiontune_gateway.rest.routes import Routes
from visiontune_gateway.rest.transcode import Limits, Transcoder
from visiontune_gateway.settings import Settings
from visiontune_gateway.use_cases.exchange import Exchange
from visiontune_gateway.web import WebApp

ISSUER = "visiontune-gateway"
NAME = "gateway"
# Public bytes only: an answer that holds a secret is not compressed.
_COMPRESSED = [Middleware(GZipMiddleware, minimum_size=1024)]
# All of them, so that the routing table says what is wrong with a verb.
_VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class NoSigningKeyError(ValueError):
    """The gateway cannot sign tokens."""

    def __init__(self) -> None:
        super().__init__(
            "VISIONTUNE_GATEWAY_SIGNING_KEY_FILE is not set. `python -m visiontune_gateway init-keys "
            "--keys-dir DIR` makes DIR/gateway.pem."
        )


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running gateway answers."""

    http: str  # host:port
    grpc: str


def deps_of(settings: Settings, database: Database) -> Deps:
    """Returns what the use cases need. Raises NoSigningKeyError."""
    if settings.signing_key_file is None:
        raise NoSigningKeyError
    return Deps(
        unit_of_work=lambda: UnitOfWork(database),
        clock=SystemClock(),
        minter=TokenMinter.from_file(settings.signing_key_file, ISSUER),
        new_secret=lambda: secrets.token_urlsafe(32),
    )


def identity_program(settings: Settings, deps: Deps) -> Program:
    """The gRPC half. It has no table of requests, which would keep the secrets of new keys."""
    register = identity_pb2_grpc.add_IdentityServiceServicer_to_server
    return Program(
        name=NAME,
        settings=settings.model_copy(update={"port": settings.grpc_port}),
        rpcs=[Rpc(rpc.NAME, register, rpc.IdentityService(deps))],
        access=rpc.ACCESS,
        unscoped=rpc.UNSCOPED,
        cross_project=rpc.CROSS_PROJECT,
    )


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then stops gracefully."""
    logs.configure(NAME, level=settings.log_level, format=settings.log_format)
    telemetry.configure(
        NAME,
        otlp_endpoint=settings.otlp_endpoint,
        metrics_host=settings.host,
        metrics_port=settings.metrics_port,
    )
    asked_to_stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, asked_to_stop.set)
    try:
        async with running(settings) as addresses:
            logs.get(__name__).info("gateway_started", url=f"http://{addresses.http}")
            await asked_to_stop.wait()
    finally:
        telemetry.shutdown()


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Addresses]:
    """Serves HTTP and gRPC inside the block."""
    database = Database.open(settings.database_url, settings.database_connections)
    deps = deps_of(settings, database)
    stopping = asyncio.Event()
    try:
        async with (
            server.running(identity_program(settings, deps)) as grpc_address,
            Upstreams.open(targets(settings, grpc_address), settings.client_tls) as upstreams,
            http_server.serving(
                build(settings, deps, upstreams, stopping),
                settings.host,
                settings.port,
                stopping=stopping,
                stop_grace_s=settings.stop_grace_s,
            ) as http_address,
        ):
            yield Addresses(http_address, grpc_address)
    finally:
        await database.close()


def targets(settings: Settings, own_address: str) -> dict[str, str]:
    """Returns each upstream's address. The names are those of rest.contracts."""
    return {
        "storage": settings.storage_target,
        "dataset": settings.dataset_target,
        "trainer": settings.trainer_target,
        "identity": settings.identity_target or own_address,
    }


def build(settings: Settings, deps: Deps, upstreams: Upstreams, stopping: asyncio.Event) -> Starlette:
    """Returns the HTTP half."""
    routes = Routes.of(rules())
    limits = Limits(settings.request_limit_bytes, settings.call_timeout_s, settings.sse_comment_interval_s)
    transcoder = Transcoder(routes, upstreams, Exchange(deps), limits, stopping)
    pages = FixedPages(document.build(routes), keys.jwks_of(settings.signing_key_file), upstreams)
    web = WebApp(settings.web_folder, settings.object_store_origins)
    return Starlette(
        routes=[
            Route("/v1", transcoder.answer, methods=_VERBS),
            Route("/v1/{path:path}", transcoder.answer, methods=_VERBS),
            Route("/openapi.json", pages.openapi, middleware=_COMPRESSED),
            Route("/.well-known/jwks.json", pages.jwks),
            Route("/healthz", pages.healthz),
            Route("/readyz", pages.readyz),
            Route("/{path:path}", web.answer, middleware=_COMPRESSED),
        ]
    )
