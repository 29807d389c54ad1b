"""The embedded stack with its real programs. What a running stack must not do is in test_house_rules."""

import os
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest
from visiontune_stack import control, process

from tests.support.stack import Stack
from tests.system.conftest import Watched

PROGRAMS = ["seaweedfs", "storage", "dataset", "trainer", "gateway"]
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def stack(watched: Watched) -> Stack:
    """Ends with these tests: what else looks at it comes before."""
    return watched.stack


def is_another(stack: Stack, name: str, pid: int) -> bool:
    return stack.pids().get(name, pid) != pid


def wait_ready(stack: Stack) -> None:
    assert process.wait_for(lambda: not control.unready(stack.url), 90)


def programs(stack: Stack) -> dict[str, int]:
    """What runs, but for a worker that is about to end."""
    return {name: pid for name, pid in stack.pids().items() if name != "worker"}


def test_every_program_runs_and_a_second_up_finds_them(stack: Stack) -> None:
    before = programs(stack)
    assert list(before) == PROGRAMS
    stack.up()
    assert programs(stack) == before


def test_a_program_is_back_within_seconds_of_its_death(stack: Stack) -> None:
    with stack.client() as client:
        before = list(client.list_datasets())
    for name in ("seaweedfs", "gateway"):  # tests/chaos kills every one
        pid = stack.pids()[name]
        os.kill(pid, signal.SIGKILL)
        started = time.monotonic()
        assert process.wait_for(partial(is_another, stack, name, pid), 30), name
        wait_ready(stack)
        assert time.monotonic() - started < 60
    with stack.client() as client:
        assert list(client.list_datasets()) == before


def test_the_next_up_adopts_what_a_killed_supervisor_left(stack: Stack) -> None:
    before = programs(stack)
    os.kill(stack.status()["supervisor_pid"], signal.SIGKILL)
    assert stack.cli("status", check=False).returncode == 1
    stack.up()
    assert programs(stack) == before
    assert stack.status()["ready"]


def test_secrets_are_the_owners_alone(stack: Stack) -> None:
    for path in (
        stack.home / "api-key",
        stack.home / "keys" / "s3.json",
        stack.home / "keys" / "gateway.pem",
    ):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_second_stack_on_the_same_ports_is_told_which_one_is_taken(stack: Stack, tmp_path: Path) -> None:
    done = Stack(tmp_path / "second", stack.port).cli("up", "--detach", check=False)
    assert done.returncode == 1
    assert "is taken by another process" in done.stderr
    assert "visiontune up --port" in done.stderr
    assert stack.status()["ready"]


def test_down_leaves_nothing_behind_even_of_a_killed_supervisor(stack: Stack) -> None:
    pids = list(stack.pids().values())
    os.kill(stack.status()["supervisor_pid"], signal.SIGKILL)
    stack.down()
    assert not any(process.find(pid) for pid in pids)
    assert stack.cli("status", check=False).returncode == 1
    left = subprocess.run(["pgrep", "-f", str(stack.home)], capture_output=True, text=True, check=False)
    assert left.stdout == ""
