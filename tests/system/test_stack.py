"""The embedded stack with its real programs."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from visiontune_stack import control, process

from tests.support.stack import RunningStack

PROGRAMS = ["objectstore", "storage", "dataset", "trainer", "gateway"]
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack that these tests may kill."""
    made = RunningStack(tmp_path_factory.mktemp("own"))
    try:
        made.up()
        yield made
    finally:
        made.down()


def wait_ready(stack: RunningStack) -> None:
    assert process.wait_for(lambda: not control.unready(stack.url), 90), stack.logs()


def supervisor_of(stack: RunningStack) -> int:
    return int(stack.json("status", check=False)["supervisor_pid"])


def test_every_program_runs_and_a_second_up_finds_them(own: RunningStack) -> None:
    before = own.pids()
    assert list(before) == PROGRAMS
    assert own.up()["ready"]
    assert own.pids() == before


def test_a_program_is_back_within_seconds_of_its_death(own: RunningStack) -> None:
    for name in PROGRAMS:
        pid = own.pids()[name]
        os.kill(pid, signal.SIGKILL)
        started = time.monotonic()
        assert process.wait_for(lambda n=name, p=pid: own.pids().get(n, p) != p, 30), own.logs()
        wait_ready(own)
        assert time.monotonic() - started < 60
    assert own.json("dataset", "list") == []


def test_the_next_up_adopts_what_a_killed_supervisor_left(own: RunningStack) -> None:
    before = own.pids()
    os.kill(supervisor_of(own), signal.SIGKILL)
    assert own.visiontune("status", check=False).returncode == 1
    assert own.up()["ready"]
    assert own.pids() == before


def test_nobody_listens_beyond_the_loopback_interface(own: RunningStack) -> None:
    for name, pid in own.pids().items():
        listening = [c for c in psutil.Process(pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        assert listening, name
        assert {connection.laddr.ip for connection in listening} <= {"127.0.0.1", "::1"}, name


def test_only_storage_and_the_store_hold_credentials(own: RunningStack) -> None:
    secret = (own.home / "keys" / "s3.json").read_text().split('"')[-2]
    for name, pid in own.pids().items():
        everything = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        seen = any(secret in value for child in everything for value in child.environ().values())
        assert seen == (name in {"objectstore", "storage"}), name


def test_no_server_loads_torch(own: RunningStack) -> None:
    for name, pid in own.pids().items():
        assert not any("torch" in mapped.path for mapped in psutil.Process(pid).memory_maps()), name


def test_secrets_are_the_owners_alone(own: RunningStack) -> None:
    for path in (own.home / "api-key", own.home / "keys" / "s3.json", own.home / "keys" / "gateway.pem"):
        assert path.stat().st_mode & 0o077 == 0, path
    logs = "".join(path.read_text("utf-8", "replace") for path in (own.home / "logs").iterdir())
    assert own.api_key not in logs


def test_a_second_stack_on_the_same_ports_is_told_which_one_is_taken(
    own: RunningStack, tmp_path: Path
) -> None:
    second = RunningStack(tmp_path / "second")
    second.port = own.port
    done = second.visiontune("up", "--detach", "--port", str(own.port), check=False)
    assert done.returncode == 1
    assert "is taken by another process" in done.stderr
    assert "visiontune up --port" in done.stderr
    assert own.json("status")["ready"]


def test_down_leaves_nothing_behind_even_of_a_killed_supervisor(own: RunningStack) -> None:
    pids = list(own.pids().values())
    os.kill(supervisor_of(own), signal.SIGKILL)
    own.down()
    assert not any(process.find(pid) for pid in pids)
    assert own.visiontune("status", check=False).returncode == 1
    marked = subprocess.run(["pgrep", "-f", str(own.home)], capture_output=True, text=True, check=False)
    assert marked.stdout == ""
