"""A rollout as clients see it: replicas come and go under calls, and no call fails."""

import asyncio
import contextlib
import socket

from grpc_health.v1 import health_pb2, health_pb2_grpc
from visiontune_kit import channels
from visiontune_kit.server import Program, running
from visiontune_kit.settings import ServerSettings

CALLERS = 8
HEALTH = health_pb2.HealthCheckRequest()


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in taken]


def replica(port: int) -> contextlib.AbstractAsyncContextManager[str]:
    """One that leaves at once when told to: what a pod does after its preStop sleep."""
    return running(
        Program(name="test", settings=ServerSettings(port=port, stop_grace_s=5), rpcs=[], access={})
    )


async def test_no_call_fails_while_replicas_are_replaced() -> None:
    first, second = free_ports(2)
    # Round robin, as over a headless service, which lists the addresses of all replicas.
    channel = channels.connect(f"ipv4:127.0.0.1:{first},127.0.0.1:{second}")
    stub, ended, answered = health_pb2_grpc.HealthStub(channel), asyncio.Event(), 0

    async def call() -> None:
        nonlocal answered
        while not ended.is_set():
            await stub.Check(HEALTH, timeout=10)
            answered += 1

    async with replica(second), asyncio.TaskGroup() as callers:
        for _ in range(3):
            async with replica(first):
                if not answered:
                    for _ in range(CALLERS):
                        callers.create_task(call())
                await asyncio.sleep(0.5)
            await asyncio.sleep(0.2)
        ended.set()
    await channel.close(None)
    assert answered > 100
