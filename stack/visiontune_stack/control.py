"""What a person does to a stack: start, stop, look. Speaks to the supervisor by signals and files."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from visiontune_stack import logs, process, state
from visiontune_stack.errors import DidNotStart, StackFailure
from visiontune_stack.home import Home
from visiontune_stack.settings import StackSettings
from visiontune_stack.state import StackState
from visiontune_stack.workers import running_workers, stop_workers

SUPERVISOR = "stack"
# The gateway is on this machine, where a proxy of the environment cannot reach it.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class ProgramStatus:
    """One program, as `visiontune status` shows it."""

    name: str
    # `running`, or `restarting` between a death and the next start.
    state: str
    pid: int | None
    uptime_s: float
    restarts: int
    last_end: str


@dataclass(frozen=True, slots=True)
class StackStatus:
    """The stack, as `visiontune status` shows it."""

    running: bool
    # What /readyz of the gateway says.
    ready: bool
    url: str
    home: str
    version: str
    supervisor_pid: int | None
    programs: list[ProgramStatus]
    worker_pids: list[int]


def start(settings: StackSettings, *, detach: bool) -> subprocess.Popen[bytes] | None:
    """Starts a supervisor unless one runs; returns it when this call started it.

    With `detach` it lives on when the caller ends, and logs to `logs/stack.log`.
    """
    home = settings.layout
    home.create()
    if is_up(home):
        return None
    environment = {
        **os.environ,
        "VISIONTUNE_HOME": str(home.root),
        "VISIONTUNE_PORT": str(settings.port),
    }
    with logs.open_for(home.log_of(SUPERVISOR)) as log:
        return subprocess.Popen(
            [sys.executable, "-m", "visiontune_stack"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=detach,
        )


def wait_ready(
    settings: StackSettings,
    started: subprocess.Popen[bytes] | None,
    timeout_s: float,
    progress: Callable[[list[str]], None] = lambda _waiting: None,
) -> StackState:
    """Returns once the gateway and all behind it answer. `progress` hears what is not yet ready.

    Raises StackFailure with the supervisor's own words when it ended, DidNotStart when time is up.
    """
    home = settings.layout
    deadline, waiting = time.monotonic() + timeout_s, ["stack"]
    while time.monotonic() < deadline:
        # It may have lost a race against another `up`, which is no failure.
        if started is not None and started.poll() is not None and not is_up(home):
            raise StackFailure(_last_words(home))
        found = state.read(home.state)
        if found and found.running:
            # Another stack's gateway may answer there while ours has yet to find that the port is taken.
            waiting = unready(found.url) if _runs(found, "gateway") else ["gateway"]
            if not waiting:
                return found
            progress(waiting)
        time.sleep(0.1)
    ends = "".join(f" {name} {end}; its log is {home.log_of(name)}." for name, end in _deaths(home))
    late = ", ".join(waiting)
    raise DidNotStart(f"Not ready after {timeout_s:.0f} s: {late}.{ends} See: visiontune status")


def _runs(found: StackState, program: str) -> bool:
    state_of = found.programs.get(program)
    return state_of is not None and state_of.process is not None and state_of.process.alive()


def stop(settings: StackSettings) -> bool:
    """Stops every program, also those whose supervisor died; false when nothing ran."""
    home, grace_s = settings.layout, settings.stop_grace_s
    found = state.read(home.state)
    if found is None:
        return stop_workers(home.scratch, grace_s) > 0
    supervisor = found.supervisor
    if supervisor is not None and supervisor.alive():
        os.kill(supervisor.pid, signal.SIGTERM)
        # Two waves of programs and the workers between them, each with its grace.
        process.wait_for(lambda: not supervisor.alive(), 3 * grace_s + 20)
        process.stop_all([supervisor], 0.0)
    left = [program.process for program in found.programs.values() if program.process]
    orphans = [orphan for orphan in left if orphan.alive()]
    process.stop_all(orphans, grace_s)
    workers = stop_workers(home.scratch, grace_s)
    state.write(home.state, state.ended(found))
    return bool(supervisor or orphans or workers)


def status(settings: StackSettings) -> StackStatus:
    """What runs, by pid and start time, and whether it answers."""
    home = settings.layout
    found = state.read(home.state)
    if found is None:
        return StackStatus(
            running=False,
            ready=False,
            url="",
            home=str(home.root),
            version="",
            supervisor_pid=None,
            programs=[],
            worker_pids=[],
        )
    return StackStatus(
        running=found.running,
        ready=found.running and not unready(found.url),
        url=found.url,
        home=str(home.root),
        version=found.version,
        supervisor_pid=found.supervisor.pid if found.supervisor and found.running else None,
        programs=[_program_status(name, program) for name, program in found.programs.items()],
        worker_pids=[worker.pid for worker in running_workers(home.scratch)],
    )


def is_up(home: Home) -> bool:
    """True while a supervisor of this home lives."""
    found = state.read(home.state)
    return found is not None and found.running


def unready(url: str, timeout_s: float = 2.0) -> list[str]:
    """Names of what does not answer yet; `gateway` when it does not itself. Empty means ready."""
    try:
        with _DIRECT.open(f"{url}/readyz", timeout=timeout_s) as answer:
            answer.read()
            return []
    except urllib.error.HTTPError as error:
        return _not_ready(error.read())
    except (OSError, ValueError):
        return ["gateway"]


def _not_ready(body: bytes) -> list[str]:
    try:
        answer = json.loads(body)
    except ValueError:
        return ["gateway"]
    services = answer.get("services", {}) if isinstance(answer, dict) else {}
    return [name for name, health in services.items() if health != "SERVING"] or ["gateway"]


def _deaths(home: Home) -> list[tuple[str, str]]:
    """Programs that died and how, by the supervisor's word."""
    found = state.read(home.state)
    programs = found.programs if found else {}
    return [(name, program.last_end) for name, program in programs.items() if program.last_end]


def _program_status(name: str, program: state.ProgramState) -> ProgramStatus:
    alive = program.process is not None and program.process.alive()
    return ProgramStatus(
        name=name,
        state="running" if alive else "restarting",
        pid=program.process.pid if program.process and alive else None,
        uptime_s=time.time() - program.since if alive else 0.0,
        restarts=program.restarts,
        last_end=program.last_end,
    )


def _last_words(home: Home) -> str:
    """The supervisor's error line, or the end of its log."""
    lines = logs.tail(home.log_of(SUPERVISOR)).splitlines()
    if lines and lines[-1].startswith("error: "):
        return lines[-1].removeprefix("error: ")
    return "The stack could not start. The end of its log:\n" + "\n".join(lines)
