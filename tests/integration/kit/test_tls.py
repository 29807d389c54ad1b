"""mTLS between programs, over a real socket, and health for probes that speak none."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from visiontune_kit import channels, errors
from visiontune_kit.server import Program, running
from visiontune_kit.settings import ServerSettings
from visiontune_kit.tls import ClientTls

from tests.support import certificates

HEALTH = health_pb2.HealthCheckRequest()


@pytest.fixture
def authority(tmp_path: Path) -> certificates.Authority:
    return certificates.make(tmp_path / "tls")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
async def server(authority: certificates.Authority) -> AsyncIterator[ServerSettings]:
    own = authority.client("localhost")
    settings = ServerSettings(
        port=free_port(),
        health_port=free_port(),
        stop_grace_s=1,
        tls_certificate_file=own.certificate_file,
        tls_key_file=own.key_file,
        tls_ca_file=own.ca_file,
    )
    async with running(Program(name="test", settings=settings, rpcs=[], access={})):
        yield settings


async def health(target: str, tls: ClientTls | None) -> int:
    channel = channels.connect(target, tls=tls)
    try:
        answer = await health_pb2_grpc.HealthStub(channel).Check(HEALTH, timeout=5)
        return int(answer.status)
    finally:
        await channel.close(None)


async def test_a_program_shows_its_certificate_to_others(
    server: ServerSettings, authority: certificates.Authority
) -> None:
    assert await health(f"localhost:{server.port}", authority.client("dataset")) == 1
    # Its own settings are enough to call a program of the same authority.
    assert await health(f"localhost:{server.port}", server.client_tls) == 1


async def test_a_client_without_a_certificate_is_not_let_in(
    server: ServerSettings, authority: certificates.Authority, tmp_path: Path
) -> None:
    stranger = certificates.make(tmp_path / "stranger").client("dataset")
    impostor = ClientTls(authority.ca_file, stranger.certificate_file, stranger.key_file)
    for tls in (None, ClientTls(authority.ca_file), impostor):
        with pytest.raises((errors.Unavailable, errors.DeadlineExceeded)):
            await health(f"localhost:{server.port}", tls)


async def test_a_server_of_another_authority_is_not_believed(server: ServerSettings, tmp_path: Path) -> None:
    with pytest.raises((errors.Unavailable, errors.DeadlineExceeded)):
        await health(f"localhost:{server.port}", certificates.make(tmp_path / "other").client("dataset"))


async def test_probes_need_no_certificate_and_get_nothing_but_health(server: ServerSettings) -> None:
    assert await health(f"127.0.0.1:{server.health_port}", None) == health_pb2.HealthCheckResponse.SERVING
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.health_port}") as channel:
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await reflection.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest()])).read()
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
