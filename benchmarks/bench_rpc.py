"""Unary calls/s: storage's GetQuota through the whole gate against a bare grpc.aio echo.

Each server is a process of its own; the client keeps 16 calls running on one channel. GetQuota passes
telemetry, token, role, project and rules, and reads a row of the database.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune.storage.v1 import storage_pb2_grpc

from benchmarks.result import Result, interleaved
from tests.support import trust

AIM = 0.5
ROUNDS = 5
SECONDS = 3.0
RUNNING = 16
_ECHO_METHOD = "/bench.Echo/Echo"

Call = Callable[[], Awaitable[Any]]


def measure() -> list[Result]:
    """One line: GetQuota against the echo."""
    with tempfile.TemporaryDirectory(prefix="visiontune-bench-") as folder:
        trusted = trust.make(Path(folder) / "keys")
        with _storage(Path(folder), trusted) as storage, _echo() as echo:
            metadata = trusted.metadata("bench")
            ours, peer = interleaved(
                lambda: asyncio.run(_calls_per_s(storage, lambda channel: _get_quota(channel, metadata))),
                lambda: asyncio.run(_calls_per_s(echo, _echo_call)),
                rounds=ROUNDS,
            )
    return [Result("GetQuota through the gate, against a bare grpc.aio echo", "calls/s", ours, peer, AIM)]


def _get_quota(channel: grpc.aio.Channel, metadata: list[tuple[str, str]]) -> Call:
    stub: Any = storage_pb2_grpc.StorageServiceStub(channel)
    request = pb.GetQuotaRequest(name="projects/bench/quota")
    return lambda: stub.GetQuota(request, metadata=metadata, timeout=30)


def _echo_call(channel: grpc.aio.Channel) -> Call:
    """The same messages, so that only the server's work differs."""
    method: Any = channel.unary_unary(
        _ECHO_METHOD,
        request_serializer=pb.GetQuotaRequest.SerializeToString,
        response_deserializer=pb.Quota.FromString,
    )
    request = pb.GetQuotaRequest(name="projects/bench/quota")
    return lambda: method(request, timeout=30)


async def _calls_per_s(target: str, prepare: Callable[[grpc.aio.Channel], Call]) -> float:
    async with grpc.aio.insecure_channel(target) as channel:
        call = prepare(channel)
        await call()
        started = time.perf_counter()
        ends = started + SECONDS

        async def caller() -> int:
            done = 0
            while time.perf_counter() < ends:
                await call()
                done += 1
            return done

        counts = await asyncio.gather(*(caller() for _ in range(RUNNING)))
        return sum(counts) / (time.perf_counter() - started)


@contextmanager
def _storage(folder: Path, trusted: trust.Trust) -> Iterator[str]:
    """The real program; GetQuota needs no object store."""
    environment = {
        "VISIONTUNE_STORAGE_DATABASE_URL": f"sqlite+aiosqlite:///{folder}/storage.db",
        "VISIONTUNE_ISSUERS_FILE": str(trusted.issuers_file),
        "VISIONTUNE_STORAGE_PORT": "0",
        "VISIONTUNE_STORAGE_S3_ENDPOINT": "127.0.0.1:9",
    }
    with _server(["-m", "visiontune_storage"], environment) as target:
        yield target


@contextmanager
def _echo() -> Iterator[str]:
    with _server(["-m", "benchmarks.bench_rpc"], {}) as target:
        yield target


@contextmanager
def _server(arguments: list[str], environment: dict[str, str]) -> Iterator[str]:
    """Yields the address of a server that logs `"port": N` when it serves."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield f"127.0.0.1:{_port(process)}"
    finally:
        process.terminate()
        process.communicate()


def _port(process: "subprocess.Popen[str]") -> int:
    assert process.stdout is not None
    for line in process.stdout:
        if '"server_started"' in line:
            return int(line.split('"port": ')[1].split(",")[0].rstrip("}\n"))
    raise RuntimeError("the server ended before it served")


async def _serve_echo() -> None:
    """The peer: deserialise, answer, serialise; no interceptor."""
    answer = pb.Quota(name="projects/bench/quota", limit_bytes=10 << 30, etag="v0")

    async def echo(_request: pb.GetQuotaRequest, _context: Any) -> pb.Quota:
        return answer

    handler = grpc.unary_unary_rpc_method_handler(
        echo,
        request_deserializer=pb.GetQuotaRequest.FromString,
        response_serializer=pb.Quota.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Echo": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f'{{"event": "server_started", "port": {port}}}', flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve_echo())
