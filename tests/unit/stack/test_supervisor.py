"""The supervisor with real child processes that do nothing."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from visiontune_stack import process, state
from visiontune_stack.home import Home
from visiontune_stack.process import Process
from visiontune_stack.state import StackState

# A supervisor as a process of its own, over programs that only sleep: argv is home and their names.
SUPERVISE = """
import json, os, sys
from pathlib import Path
from visiontune_stack import state
from visiontune_stack.errors import StackFailure
from visiontune_stack.home import Home
from visiontune_stack.programs import Program
from visiontune_stack.state import StackState
from visiontune_stack.supervisor import Supervisor, only_supervisor

home = Home(Path(sys.argv[1]))
home.create()
programs = tuple(
    Program(name, tuple(command), wiring={}, ports=tuple(ports))
    for name, command, ports in json.loads(sys.argv[2])
)
try:
    with only_supervisor(home):
        before = state.read(home.state)
        supervisor = Supervisor(home, StackState("http://x", 1, "0", None), os.environ, stop_grace_s=5)
        supervisor.listen()
        supervisor.announce(before)
        supervisor.adopt(programs, before)
        supervisor.start({program.name for program in programs})
        supervisor.run()
except StackFailure as error:
    sys.exit(f"error: {error}")
"""
SLEEP: tuple[str, list[str], list[int]] = ("a", ["sleep", "300"], [])
OTHER: tuple[str, list[str], list[int]] = ("b", ["sleep", "301"], [])


class Stack:
    """Starts supervisors over one home and cleans up behind them."""

    def __init__(self, home: Path) -> None:
        self.home = Home(home)
        self.supervisors: list[subprocess.Popen[str]] = []

    def supervise(self, *programs: tuple[str, list[str], list[int]]) -> subprocess.Popen[str]:
        started = subprocess.Popen(
            [sys.executable, "-c", SUPERVISE, str(self.home.root), json.dumps(programs)],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.supervisors.append(started)
        return started

    def state(self) -> StackState | None:
        return state.read(self.home.state)

    def pid(self, name: str, *, other_than: int = 0) -> int:
        """The program's pid once it runs."""
        found: list[Process] = []

        def runs() -> bool:
            program = (now.programs if (now := self.state()) else {}).get(name)
            found[:] = [program.process] if program and program.process else []
            return bool(found) and found[0].alive() and found[0].pid != other_than

        assert process.wait_for(runs, 20), self.state()
        return found[0].pid

    def kill(self) -> None:
        """kill -9 of the newest supervisor."""
        self.supervisors[-1].kill()
        self.supervisors[-1].wait()

    def clean(self) -> None:
        now = self.state()
        for supervisor in self.supervisors:
            supervisor.kill()
            supervisor.communicate()
        process.stop_all([p.process for p in (now.programs if now else {}).values() if p.process], 0.0)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path / "home")
    yield made
    made.clean()


def alive(pid: int) -> bool:
    return process.find(pid) is not None


def test_a_program_that_dies_is_started_again_soon(stack: Stack) -> None:
    stack.supervise(SLEEP, OTHER)
    first, other = stack.pid("a"), stack.pid("b")
    started = time.monotonic()
    os.kill(first, signal.SIGKILL)
    second = stack.pid("a", other_than=first)
    assert time.monotonic() - started < 5
    assert alive(second)
    assert stack.pid("b") == other
    now = stack.state()
    assert now is not None
    assert now.programs["a"].restarts == 1
    assert now.programs["a"].last_end == "killed by SIGKILL"


def test_sigterm_stops_everything_and_says_so(stack: Stack) -> None:
    supervisor = stack.supervise(SLEEP, OTHER)
    pids = [stack.pid("a"), stack.pid("b")]
    supervisor.terminate()
    assert supervisor.wait(20) == 0
    assert not any(alive(pid) for pid in pids)
    now = stack.state()
    assert now is not None
    assert not now.running
    assert now.programs == {}


def test_the_next_supervisor_adopts_what_a_killed_one_left(stack: Stack) -> None:
    stack.supervise(SLEEP, OTHER)
    pids = [stack.pid("a"), stack.pid("b")]
    stack.kill()
    assert all(alive(pid) for pid in pids)
    stack.supervise(SLEEP, OTHER)
    assert process.wait_for(lambda: (now := stack.state()) is not None and now.running, 20)
    assert [stack.pid("a"), stack.pid("b")] == pids
    os.kill(pids[0], signal.SIGKILL)
    assert stack.pid("a", other_than=pids[0]) != pids[0]


def test_what_is_wanted_otherwise_is_replaced_and_what_is_not_wanted_is_stopped(stack: Stack) -> None:
    stack.supervise(SLEEP, OTHER)
    pids = [stack.pid("a"), stack.pid("b")]
    stack.kill()
    stack.supervise(("a", ["sleep", "302"], []))
    assert stack.pid("a", other_than=pids[0]) not in pids
    assert not any(alive(pid) for pid in pids)


def test_two_supervisors_cannot_share_a_home(stack: Stack) -> None:
    stack.supervise(SLEEP)
    pid = stack.pid("a")
    second = stack.supervise(SLEEP)
    assert second.wait(20) == 1
    assert second.stderr is not None
    assert "already runs" in second.stderr.read()
    assert stack.pid("a") == pid


def test_a_taken_port_is_named_with_the_remedy(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        failed = stack.supervise(("storage", ["sleep", "300"], [port]))
        assert failed.wait(20) == 1
    assert failed.stderr is not None
    said = failed.stderr.read()
    assert f"Port {port}, which storage needs, is taken" in said
    assert "--port" in said


def test_a_program_that_cannot_live_is_tried_ever_more_slowly(stack: Stack) -> None:
    stack.supervise(("a", [sys.executable, "-c", "raise SystemExit(3)"], []))

    def tried() -> bool:
        now = stack.state()
        return now is not None and "a" in now.programs and now.programs["a"].restarts >= 3

    assert process.wait_for(tried, 30)
    now = stack.state()
    assert now is not None
    assert now.programs["a"].last_end == "ended with exit code 3"
