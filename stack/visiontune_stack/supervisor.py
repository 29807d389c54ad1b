"""Keeps the programs of a stack running: starts, watches, restarts with backoff, stops."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fcntl import LOCK_EX, LOCK_NB, flock

from visiontune_stack import logs, process, state
from visiontune_stack.errors import AlreadyRunning, PortTaken
from visiontune_stack.home import Home
from visiontune_stack.ports import is_free
from visiontune_stack.process import Process
from visiontune_stack.programs import OBJECT_STORE, Program
from visiontune_stack.state import ProgramState, StackState
from visiontune_stack.workers import stop_workers

FIRST_BACKOFF_S = 0.2
MOST_BACKOFF_S = 10.0
# A program that ran this long is taken to be well: its next failure is a first one.
STEADY_AFTER_S = 30.0
TICK_S = 0.1
ROTATE_EVERY_S = 5.0


def backoff_s(failures: int) -> float:
    """Seconds to wait before the start that follows so many failures in a row, from 1."""
    return float(min(FIRST_BACKOFF_S * 2 ** (failures - 1), MOST_BACKOFF_S))


@dataclass(slots=True)
class Slot:
    """The place of one program."""

    program: Program
    digest: str
    process: Process | None = None
    # Set when this supervisor started it; an adopted process is somebody else's child.
    popen: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    restarts: int = 0
    failures: int = 0
    start_at: float = 0.0
    last_end: str = ""

    def alive(self) -> bool:
        """Collects a dead child on the way."""
        if self.popen is not None:
            return self.popen.poll() is None
        return self.process is not None and self.process.alive()

    def state(self) -> ProgramState:
        """As it is written to stack.json."""
        return ProgramState(self.process, self.since, self.restarts, self.digest, self.last_end)


@contextlib.contextmanager
def only_supervisor(home: Home) -> Iterator[None]:
    """Holds the home's lock. Raises AlreadyRunning when another supervisor does."""
    with home.lock.open("w") as lock:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(str(home.root)) from error
        yield


@dataclass(slots=True)
class Supervisor:
    """Runs programs until it is told to stop. One thread, no callbacks: state changes in `tick` alone."""

    home: Home
    base: StackState
    given: Mapping[str, str]
    log_limit_bytes: int = 16 * 1024 * 1024
    stop_grace_s: float = 20.0
    slots: list[Slot] = field(default_factory=list)
    stop_requested: bool = False
    rotate_at: float = 0.0

    def announce(self, before: StackState | None) -> None:
        """Says who supervises from now on, and keeps what is known of the programs."""
        known = before.programs if before else {}
        state.write(self.home.state, state.with_programs(self.base, process.find(os.getpid()), known))

    def adopt(self, programs: tuple[Program, ...], before: StackState | None) -> None:
        """Takes over what an earlier supervisor left running, and stops what is no longer wanted.

        Raises PortTaken when a program that is still to be started would not get its port.
        """
        left = dict(before.programs) if before else {}
        self.slots = [Slot(program, program.digest(self.given)) for program in programs]
        for slot in self.slots:
            found = left.get(slot.program.name)
            if found and found.process and found.digest == slot.digest and found.process.alive():
                slot.process, slot.since, slot.restarts = found.process, found.since, found.restarts
                del left[slot.program.name]
        unwanted = [found.process for found in left.values() if found.process and found.process.alive()]
        process.stop_all(unwanted, self.stop_grace_s)
        for slot in self.slots:
            taken = [] if slot.process else [p for p in slot.program.ports if not is_free(p)]
            if taken:
                raise PortTaken(taken[0], slot.program.name)

    def start(self, names: set[str]) -> None:
        """Starts those of the named programs that do not run."""
        for slot in self.slots:
            if slot.program.name in names and not slot.alive():
                self._spawn(slot)
        self._write()

    def listen(self) -> None:
        """Takes SIGTERM, SIGINT and SIGHUP as the wish to stop."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._request_stop)

    def run(self) -> None:
        """Watches until it is told to stop, then stops everything."""
        while not self.stop_requested:
            self.tick(time.monotonic())
            time.sleep(TICK_S)
        self.stop()

    def tick(self, now: float) -> None:
        """Notices deaths, starts what is due."""
        changed = False
        for slot in self.slots:
            if slot.process is not None and not slot.alive():
                self._bury(slot, now)
                changed = True
            if slot.process is None and now >= slot.start_at:
                slot.restarts += 1
                self._spawn(slot)
                changed = True
        if changed:
            self._write()
        if now >= self.rotate_at:
            self.rotate_at = now + ROTATE_EVERY_S
            for slot in self.slots:
                logs.rotate(self.home.log_of(slot.program.name), self.log_limit_bytes)

    def stop(self) -> None:
        """Servers first, then workers, the object store last: who writes ends before who keeps."""
        servers = [slot for slot in self.slots if slot.program.name != OBJECT_STORE]
        self._stop(servers)
        stop_workers(self.home.scratch, self.stop_grace_s)
        self._stop([slot for slot in self.slots if slot not in servers])
        state.write(self.home.state, state.ended(self.base))

    def _stop(self, slots: list[Slot]) -> None:
        running = [slot.process for slot in slots if slot.process]
        process.stop_all(running, self.stop_grace_s, reap=lambda: _collect(slots))
        for slot in slots:
            slot.process = None

    def _bury(self, slot: Slot, now: float) -> None:
        """Records how a program ended and when to start it again; sweeps its own children."""
        if slot.process is not None:
            process.signal_group(slot.process, signal.SIGKILL)
        slot.last_end = _how(slot.popen)
        steady = time.time() - slot.since > STEADY_AFTER_S
        slot.failures = 1 if steady else slot.failures + 1
        slot.start_at = now + backoff_s(slot.failures)
        slot.process = slot.popen = None
        _say(f"{slot.program.name} {slot.last_end}; next start in {backoff_s(slot.failures):.1f} s")

    def _spawn(self, slot: Slot) -> None:
        """Starts a program in a group of its own, so that a Ctrl-C reaches only the supervisor."""
        with logs.open_for(self.home.log_of(slot.program.name)) as log:
            slot.popen = subprocess.Popen(
                slot.program.command,
                env=slot.program.environment(self.given),
                cwd=self.home.root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        slot.process = process.find(slot.popen.pid) or Process(slot.popen.pid, "")
        slot.since = time.time()
        _say(f"{slot.program.name} started as process {slot.popen.pid}")

    def _write(self) -> None:
        programs = {slot.program.name: slot.state() for slot in self.slots}
        me = process.find(os.getpid())
        state.write(self.home.state, state.with_programs(self.base, me, programs))

    def _request_stop(self, number: int, _frame: object) -> None:
        _say(f"stopping ({signal.Signals(number).name})")
        self.stop_requested = True


def _collect(slots: list[Slot]) -> None:
    """Lets the system forget children that have ended."""
    for slot in slots:
        slot.alive()


def _how(popen: subprocess.Popen[bytes] | None) -> str:
    if popen is None or popen.returncode is None:
        return "ended"
    code = popen.returncode
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _say(message: str) -> None:
    """A line of the supervisor's own log."""
    print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), message, flush=True)  # noqa: T201 (its output is its log)
