"""Processes that outlive whoever started them: told apart by pid and start time together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """One process. A pid alone may be another process tomorrow; with its start time it is not."""

    pid: int
    started: str

    def alive(self) -> bool:
        """False as soon as it has ended, also while its parent has not collected it."""
        return start_time(self.pid) == self.started


def find(pid: int) -> Process | None:
    """The live process of that pid, or None."""
    started = start_time(pid)
    return Process(pid, started) if started else None


def start_time(pid: int) -> str | None:
    """Text that no other process of this pid has; None when there is none or it is a zombie."""
    return _linux_start_time(pid) if sys.platform == "linux" else _bsd_start_time(pid)


def parse_linux_stat(stat: str) -> Process:
    """The process of a line of /proc/<pid>/stat, this boot. Raises ValueError or IndexError."""
    before, _, after = stat.rpartition(")")
    return Process(int(before.split(" ", 1)[0]), f"{_boot_id()}:{_fields(after)[19]}")


def _fields(after_name: str) -> list[str]:
    """The name in parentheses may hold anything, so fields are counted from its end.

    The first is the state, the twentieth the start time in ticks since boot.
    """
    return after_name.split()


def _linux_start_time(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    is_dead = _fields(stat.rpartition(")")[2])[0] in "ZX"
    return None if is_dead else parse_linux_stat(stat).started


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def _bsd_start_time(pid: int) -> str | None:
    """Start time on macOS and BSD, which have no /proc."""
    found = subprocess.run(
        ["ps", "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = found.stdout.strip().partition(" ")
    return None if found.returncode or not state or state.startswith("Z") else started.strip()


def signal_group(process: Process, number: signal.Signals) -> None:
    """Sends a signal to the group that the process leads; nothing when it is gone."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return


def wait_for(condition: Callable[[], bool], timeout_s: float, every_s: float = 0.05) -> bool:
    """Polls until the condition holds; False when it did not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


def stop_all(processes: Sequence[Process], grace_s: float, reap: Callable[[], None] = lambda: None) -> None:
    """Asks all to end, kills after the grace what still lives, and sweeps what their groups left.

    `reap` is called while waiting, for a parent that must collect its children.
    """

    def ended() -> bool:
        reap()
        return not any(process.alive() for process in processes)

    for process in processes:
        if process.alive():
            _signal(process, signal.SIGTERM)
    wait_for(ended, grace_s)
    for process in processes:
        signal_group(process, signal.SIGKILL)
    wait_for(ended, 5.0)


def _signal(process: Process, number: signal.Signals) -> None:
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return
