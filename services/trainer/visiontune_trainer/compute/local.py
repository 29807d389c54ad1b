"""Workers as child processes of this machine, which outlive the trainer and are adopted by the next one.

    <folder>/<project>.<job>.<number>/    one attempt
        run           the worker's /proc/<pid>/stat line at its start: pid and start time
        worker.log    what it prints
        stopping      when it was first asked to end (mtime)
        scratch/      its scratch disk

All of it goes when the attempt does. One machine, Linux: replicas that share the folder share the workers.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from visiontune_kit import logs
from visiontune_kit.errors import Unauthenticated
from visiontune_recipes.check import Problem
from visiontune_recipes.spec import Resources

from visiontune_trainer.domain.next_step import Observation, Sight
from visiontune_trainer.domain.problems import LaunchRefused
from visiontune_trainer.domain.usage import MachineTime
from visiontune_trainer.ports import AcceleratorKind, Launch

# The shell writes down who it is and becomes the worker. The hard link is exclusive: of two that were started
# for one attempt, whoever is second ends before it begins.
_START = (
    'IFS= read -r stat </proc/$$/stat && printf "%s\\n" "$stat" >"$1.$$" && ln "$1.$$" "$1" && rm "$1.$$" '
    '&& shift && exec "$@"'
)
_STARTED_WITHIN_S = 30.0
_POLL_S = 0.02
_NAME = "projects/{}/trainingJobs/{}/attempts/{}"
_TAIL_BYTES = 2_000
_TAIL_LINES = 20
# A worker runs what users bring: of our variables it gets its own alone, since any other may be a secret.
_OWN = "VISIONTUNE_WORKER_"
_PRIVATE = ("VISIONTUNE_", "AWS_", "PG")

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class _Process:
    """A process of this boot; the start time tells it from a later one with the same pid."""

    pid: int
    started: int  # clock ticks after boot

    @classmethod
    def parse(cls, stat: str) -> "_Process":
        """Reads a line of /proc/<pid>/stat. Raises ValueError."""
        pid, fields = _split(stat)
        return cls(pid, int(fields[19]))

    def is_alive(self) -> bool:
        """False also for a zombie, and for another process with the same pid."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8", errors="replace")
            _, fields = _split(stat)
        except (OSError, ValueError):
            return False
        return int(fields[19]) == self.started and fields[0] not in {"Z", "X"}


class LocalBackend:
    """Implements `ports.Backend`."""

    patience_with_strangers = timedelta(0)  # The folder is ours alone.

    def __init__(
        self,
        folder: Path,
        *,
        slots: int,
        environment: Mapping[str, str],
        command: Sequence[str],
        stop_grace_s: float = 10.0,
        stop_workers_at_exit: bool = True,
        accelerators: Sequence[AcceleratorKind] | None = None,
    ) -> None:
        """accelerators: what workers here can use; None where nobody can tell, so that none is refused."""
        self.slots: int | None = slots
        self._folder = folder
        self._environment = dict(environment)
        self._command = tuple(command)
        self._stop_grace_s = stop_grace_s
        self._stop_workers_at_exit = stop_workers_at_exit
        self._accelerators = accelerators
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def problems_of(self, resources: Resources) -> list[Problem]:
        """One process, at most one accelerator, which has to be here; nothing that needs a scheduler."""
        asked: Mapping[str, tuple[bool, str]] = {
            "accelerator_count": (resources.accelerator_count > 1, "Set it to 1, or to 0 for the CPU."),
            "nodes": (resources.node_count > 1, "Set it to 1."),
            "spot": (resources.is_spot, "Leave it unset."),
            "queue": (bool(resources.queue), "Leave it empty."),
            "priority": (bool(resources.priority), "Leave it empty."),
        }
        message = "Jobs run on one machine here; resources.{} takes a cluster."
        found = [
            Problem(f"resources.{name}", "needs_a_cluster", message.format(name), remedy)
            for name, (wrong, remedy) in asked.items()
            if wrong
        ]
        missing = _missing(resources, self._accelerators)
        return [*found, missing] if missing else found

    def accelerators(self) -> list[AcceleratorKind]:
        """The one that this machine has, if any is known; jobs may ask for it without its name, too."""
        return list(self._accelerators or ())

    async def attempt_of(self, machine_token: str) -> str:
        """Processes get their attempt's own token, so that any other is nobody's."""
        raise Unauthenticated("This is no token of a worker.", reason="InvalidToken")

    async def launch(self, launch: Launch) -> None:
        """Starts the worker unless one was started for this attempt already."""
        await asyncio.to_thread(self._launch, launch)

    async def observe(self, attempt: str) -> Observation:
        """Looks at the worker; its exit code is known only to the trainer that started it."""
        return await asyncio.to_thread(self._observe, attempt)

    async def stop(self, attempt: str) -> bool:
        """SIGTERM first, SIGKILL after the grace; removes scratch and log once the process is gone."""
        return await asyncio.to_thread(self._stop, attempt)

    async def attempts(self) -> list[str]:
        """Attempts of which a folder is left."""
        return await asyncio.to_thread(self._attempts)

    def machine_times(self) -> list[MachineTime]:
        """None: this machine's accelerators are nobody's else."""
        return []

    async def close(self) -> None:
        """Asks the workers to leave and waits for them, unless they are to outlive the trainer."""
        if not self._stop_workers_at_exit:
            return
        names = await self.attempts()
        alive = [name for name in names if (await self.observe(name)).sight is Sight.ALIVE]
        for name in alive:
            await asyncio.to_thread(self._signal, name, signal.SIGTERM)
        deadline = time.monotonic() + self._stop_grace_s
        while alive and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_S)
            alive = [name for name in alive if (await self.observe(name)).sight is Sight.ALIVE]
        for name in alive:
            await asyncio.to_thread(self._signal, name, signal.SIGKILL)

    def _launch(self, launch: Launch) -> None:
        home = self._home(launch.attempt)
        if (home / "run").exists():
            return
        try:
            (home / "scratch").mkdir(parents=True, exist_ok=True)
            with (home / "worker.log").open("ab") as output:
                child = subprocess.Popen(
                    ["/bin/sh", "-c", _START, "sh", str(home / "run"), *self._command],
                    cwd=home / "scratch",
                    env=self._environment_of(launch, home),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise LaunchRefused(f"The worker could not be started: {error}.") from error
        self._children[launch.attempt] = child
        log.info("worker_started", attempt=launch.attempt, pid=child.pid)
        _await_file(home / "run", child)

    def _environment_of(self, launch: Launch, home: Path) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(_OWN) or not name.startswith(_PRIVATE)
        }
        return {
            **self._environment,
            **inherited,
            "VISIONTUNE_WORKER_ATTEMPT": launch.attempt,
            "VISIONTUNE_WORKER_TOKEN": launch.token,
            "VISIONTUNE_WORKER_SCRATCH_DIR": str(home / "scratch"),
            "TMPDIR": str(home / "scratch"),
            "TRACEPARENT": launch.traceparent,
        }

    def _observe(self, attempt: str) -> Observation:
        home = self._home(attempt)
        child = self._children.get(attempt)
        exit_code = child.poll() if child is not None else None
        process = _process_of(home)
        if process is None:
            return Observation(Sight.ABSENT)
        if process.is_alive():
            return Observation(Sight.ALIVE)
        return Observation(Sight.EXITED, exit_code, _tail(home / "worker.log"))

    def _stop(self, attempt: str) -> bool:
        home = self._home(attempt)
        if self._observe(attempt).sight is Sight.ALIVE:
            asked = home / "stopping"
            if not asked.exists():
                asked.touch()
                self._signal(attempt, signal.SIGTERM)
            elif time.time() - asked.stat().st_mtime > self._stop_grace_s:
                self._signal(attempt, signal.SIGKILL)
            return False
        shutil.rmtree(home, ignore_errors=True)
        self._children.pop(attempt, None)
        return not home.exists()

    def _signal(self, attempt: str, number: signal.Signals) -> None:
        """Asks the worker alone, so that it can end what it started; kills it with all that it started."""
        process = _process_of(self._home(attempt))
        if process is not None and process.is_alive():
            log.info("worker_signalled", attempt=attempt, pid=process.pid, signal=number.name)
            with contextlib.suppress(ProcessLookupError):  # It left just now.
                (os.killpg if number == signal.SIGKILL else os.kill)(process.pid, number)

    def _attempts(self) -> list[str]:
        homes = sorted(self._folder.glob("*.*.*"))
        return [_NAME.format(*home.name.split(".")) for home in homes if home.is_dir()]

    def _home(self, attempt: str) -> Path:
        """An attempt's folder; ids hold no dots."""
        _, project, _, job, _, number = attempt.split("/")
        return self._folder / f"{project}.{job}.{number}"


def _await_file(path: Path, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _STARTED_WITHIN_S
    while not path.exists():
        if child.poll() is not None and not path.exists():
            raise LaunchRefused(f"The worker ended with {child.returncode} before it began.")
        if time.monotonic() > deadline:
            raise LaunchRefused(f"The worker did not begin within {_STARTED_WITHIN_S:g} s.")
        time.sleep(_POLL_S)


def _missing(resources: Resources, here: Sequence[AcceleratorKind] | None) -> Problem | None:
    """An accelerator that is asked for and not here, with what is."""
    name, names = resources.accelerator, [each.name for each in here or ()]
    if here is None or (name in names if name else names or not resources.accelerator_count):
        return None
    on_processors = (
        "leave resources.accelerator and accelerator_count out to train on processors, with METHOD_LORA in "
        "place of METHOD_QLORA."
    )
    if names:
        message = f'There is no accelerator "{name}" on this machine, which has {", ".join(names)}.'
        remedy = f"Use {names[0]}, or {on_processors}"
    else:
        message = "This machine has no accelerator that a worker could use."
        remedy = (
            f"{on_processors[0].upper()}{on_processors[1:]} Where there is one all the same, the operator "
            "names it by VISIONTUNE_TRAINER_LOCAL_ACCELERATOR."
        )
    field = "resources.accelerator" if name else "resources.accelerator_count"
    return Problem(field, "unknown_accelerator", message, remedy)


def _process_of(home: Path) -> _Process | None:
    try:
        return _Process.parse((home / "run").read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return None


def _split(stat: str) -> tuple[int, list[str]]:
    """Splits a stat line: the pid, and the fields from the state on. The name between may hold anything."""
    before, _, after = stat.rpartition(")")
    return int(before.split(" ", 1)[0]), after.split()


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as output:
            output.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            text = output.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.strip().splitlines()[-_TAIL_LINES:])
