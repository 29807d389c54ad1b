"""A gRPC server from start to graceful stop: health, reflection, the gate, background work."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from visiontune_kit import errors, idempotency, logs, telemetry, tokens
from visiontune_kit.database import Database
from visiontune_kit.interceptors import Access, Authenticator, Gate, Policy
from visiontune_kit.settings import ServerSettings

Background = Callable[[], Awaitable[None]]

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.so_reuseport", 0),  # else two servers share one port in silence
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_connection_age_ms", 600_000),
    ("grpc.max_connection_age_grace_ms", 660_000),
    ("grpc.max_send_message_length", 32 * 1024 * 1024),
]
_HEALTH = health_pb2.HealthCheckResponse
_RESTART_DELAY_S = 1.0
_SWEEP_INTERVAL_S = 3600.0

log = logs.get(__name__)
_stopping: asyncio.Event | None = None


@dataclass(frozen=True)
class Rpc:
    """One service of a program."""

    name: str  # full service name, for example `visiontune.storage.v1.StorageService`
    register: Callable[[Any, grpc.aio.Server], None]
    servicer: object
    authenticate: Authenticator | None = None  # None: JWTs of the listed issuers
    # 0: served with the others. Else a port where it is served alone, and only there: under TLS like the
    # others, but to callers without a certificate, who hold nothing but a token.
    own_port: int = 0


@dataclass
class Program:
    """All that `serve` needs to know."""

    name: str
    settings: ServerSettings
    rpcs: Sequence[Rpc]
    access: Access
    database: Database | None = None
    background: Sequence[Background] = ()
    # Health says NOT_SERVING until this has returned; calls are taken meanwhile. None: ready at once.
    until_ready: Background | None = None
    unscoped: frozenset[str] = field(default_factory=frozenset)  # methods about no project
    cross_project: frozenset[str] = field(default_factory=frozenset)  # operators may name any project


class ShuttingDown(errors.Unavailable):
    """The replica stops; another answers."""

    def __init__(self) -> None:
        super().__init__("The server is shutting down. Call again; a watch resumes from its cursor.")


def stopping() -> asyncio.Event:
    """Returns the event that is set when shutdown begins. Watches then end with ShuttingDown."""
    global _stopping  # noqa: PLW0603 - one server a process; tests start several after one another
    if _stopping is None:
        _stopping = asyncio.Event()
    return _stopping


async def serve(program: Program) -> None:
    """Serves until SIGTERM or SIGINT, then stops gracefully. Sets up logs and telemetry."""
    settings = program.settings
    logs.configure(program.name, level=settings.log_level, format=settings.log_format)
    telemetry.configure(
        program.name,
        otlp_endpoint=settings.otlp_endpoint,
        metrics_host=settings.host,
        metrics_port=settings.metrics_port,
    )
    asked_to_stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, asked_to_stop.set)
    try:
        async with running(program):
            # What is there now stays; looking for garbage in it was an eighth of a small call.
            gc.collect()
            gc.freeze()
            await asked_to_stop.wait()
    finally:
        telemetry.shutdown()


@asynccontextmanager
async def running(program: Program) -> AsyncIterator[str]:
    """Serves inside the block; yields `host:port`. A port of 0 takes a free one."""
    global _stopping  # noqa: PLW0603 - see stopping
    _stopping = asyncio.Event()
    settings = program.settings
    requests = idempotency.Requests(program.database) if program.database else None
    gate = Gate(_policy(program), requests)
    checks = health.aio.HealthServicer()  # type: ignore[attr-defined]  # the stubs lack aio
    server = _server([rpc for rpc in program.rpcs if not rpc.own_port], gate, checks)
    port = _bind(server, settings, settings.port, settings.tls_ca_file)
    servers = [server]
    for rpc in program.rpcs:
        if rpc.own_port:
            servers.append(_server([rpc], gate, checks))
            _bind(servers[-1], settings, rpc.own_port, None)
    for each in servers:
        await each.start()
    probes = await _serve_probes(checks, settings)
    every = (*(rpc.name for rpc in program.rpcs), "")
    tasks = [asyncio.create_task(_keep_running(work)) for work in program.background]
    if program.until_ready is None:
        await _announce(checks, every, _HEALTH.SERVING)
    else:
        await _announce(checks, every, _HEALTH.NOT_SERVING)
        tasks.append(asyncio.create_task(_serve_after(program.until_ready, checks, every)))
    if requests is not None:
        tasks.append(asyncio.create_task(_keep_running(lambda: _sweep(requests))))
        tasks.append(asyncio.create_task(_keep_running(requests.renew_for_ever)))
    log.info("server_started", host=settings.host, port=port)
    try:
        yield f"{settings.host}:{port}"
    finally:
        log.info("server_stopping")
        await checks.enter_graceful_shutdown()
        await asyncio.sleep(settings.drain_s)
        _stopping.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(each.stop(settings.stop_grace_s) for each in servers))
        await probes.stop(None)
        if program.database is not None:
            await program.database.close()
        log.info("server_stopped")


async def _announce(
    checks: Any, names: Sequence[str], state: health_pb2.HealthCheckResponse.ServingStatus.ValueType
) -> None:
    for name in names:
        await checks.set(name, state)


async def _serve_after(until_ready: Background, checks: Any, names: Sequence[str]) -> None:
    await _keep_running(until_ready)
    await _announce(checks, names, _HEALTH.SERVING)


def _policy(program: Program) -> Policy:
    path = program.settings.issuers_file
    verifier = tokens.TokenVerifier.from_file(path) if path else tokens.TokenVerifier([])
    own = {rpc.name: rpc.authenticate for rpc in program.rpcs if rpc.authenticate is not None}
    return Policy(
        access=program.access,
        authenticators=own,
        authenticate=verifier.authenticate,
        unscoped=program.unscoped,
        cross_project=program.cross_project,
    )


def _server(rpcs: Sequence[Rpc], gate: Gate, checks: Any) -> grpc.aio.Server:
    """These services behind the gate, with health and reflection."""
    server = grpc.aio.server(interceptors=[gate], options=_OPTIONS)
    for rpc in rpcs:
        rpc.register(rpc.servicer, server)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    names = [rpc.name for rpc in rpcs]
    reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    return server


def _bind(server: grpc.aio.Server, settings: ServerSettings, port: int, callers_ca: Path | None) -> int:
    """Returns the port. callers_ca: has to have signed what callers show; None: they show nothing.

    Raises RuntimeError naming the address when it is taken.
    """
    address = f"{settings.host}:{port}"
    if settings.tls_certificate_file and settings.tls_key_file:
        credentials = grpc.ssl_server_credentials(
            [(settings.tls_key_file.read_bytes(), settings.tls_certificate_file.read_bytes())],
            root_certificates=callers_ca.read_bytes() if callers_ca else None,
            require_client_auth=callers_ca is not None,
        )
        return server.add_secure_port(address, credentials)
    return server.add_insecure_port(address)


async def _serve_probes(checks: Any, settings: ServerSettings) -> grpc.aio.Server:
    """A kubelet's gRPC probe speaks no TLS, so health answers on a port of its own too."""
    probes = grpc.aio.server(options=_OPTIONS)
    health_pb2_grpc.add_HealthServicer_to_server(checks, probes)
    if settings.health_port:
        probes.add_insecure_port(f"{settings.host}:{settings.health_port}")
    await probes.start()
    return probes


async def _keep_running(work: Background) -> None:
    """Background work that fails is logged and begun again; it ends only by cancellation or by returning."""
    while True:
        try:
            await work()
        except errors.Unavailable as error:
            log.warning("background_work_paused", error=error.message)
            await asyncio.sleep(_RESTART_DELAY_S)
        except Exception:
            log.exception("background_work_crashed")
            await asyncio.sleep(_RESTART_DELAY_S)
        else:
            return


async def _sweep(requests: idempotency.Requests) -> None:
    while True:
        await requests.sweep()
        await asyncio.sleep(_SWEEP_INTERVAL_S)
