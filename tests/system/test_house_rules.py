"""Rules of the house that a running stack can break: what servers import, and who holds secrets."""

import ipaddress
import json
import subprocess
import sys
from pathlib import Path

import psutil

from tests.support.stack import Stack

HEAVY = ("torch", "torchvision", "transformers", "peft")
SERVERS = ("visiontune_storage", "visiontune_dataset", "visiontune_trainer", "visiontune_gateway")


def test_no_server_imports_torch() -> None:
    program = (
        "import importlib, sys\n"
        f"for server in {SERVERS}:\n"
        "    for room in ('app', '__main__'): importlib.import_module(f'{server}.{room}')\n"
        f"    print(server, [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{server} []" for server in SERVERS]


def test_the_sdk_is_light() -> None:
    program = "import sys, visiontune; print('grpc' in sys.modules, 'httpx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_storage_alone_holds_the_object_stores_credentials(stack: Stack) -> None:
    secret = (stack.home / "keys" / "s3.json").read_text()
    holders = {
        name
        for name, pid in stack.pids().items()
        if any(len(value) >= 12 and value in secret for value in psutil.Process(pid).environ().values())
    }
    assert holders == {"storage", "seaweedfs"}


def test_everything_listens_on_loopback_alone(stack: Stack) -> None:
    for pid in stack.pids().values():
        for connection in psutil.Process(pid).net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert is_loopback(connection.laddr.ip), (pid, connection.laddr)


def is_loopback(ip: str) -> bool:
    address = ipaddress.ip_address(ip)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def test_no_secret_reaches_a_log(stack: Stack) -> None:
    secrets = [
        *json.loads((stack.home / "keys" / "s3.json").read_text()).values(),
        stack.api_key(),
    ]
    with stack.client() as client:
        client.get_quota()
    for log in Path(stack.home / "logs").glob("*.log"):
        text = log.read_text(errors="replace")
        for secret in secrets:
            assert str(secret) not in text, log.name
