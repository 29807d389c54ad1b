"""stack.json: what the supervisor last knew, so that anyone can find the programs again."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from visiontune_stack.process import Process


@dataclass(frozen=True, slots=True)
class ProgramState:
    """One program of the stack."""

    # What runs now; None between a death and the restart.
    process: Process | None
    # Unix time at which it was started.
    since: float
    # Times it was started again after it had died.
    restarts: int
    # Digest of command and environment: another one must not be adopted.
    digest: str
    # How it last ended, for example `killed by SIGKILL`; empty when it never did.
    last_end: str = ""


@dataclass(frozen=True, slots=True)
class StackState:
    """The stack as a whole."""

    url: str
    port: int
    version: str
    supervisor: Process | None
    programs: dict[str, ProgramState] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """True while the supervisor lives."""
        return self.supervisor is not None and self.supervisor.alive()


def write(path: Path, state: StackState) -> None:
    """Replaces the file in one step, so that no reader sees half of it."""
    new = path.with_suffix(".tmp")
    new.write_text(json.dumps(asdict(state), indent=2) + "\n", "utf-8")
    new.replace(path)


def read(path: Path) -> StackState | None:
    """None when there is no file, or none that this version understands."""
    try:
        return _parse(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _parse(data: dict[str, object]) -> StackState:
    programs = data["programs"]
    if not isinstance(programs, dict):
        raise TypeError("programs")
    return StackState(
        url=str(data["url"]),
        port=int(str(data["port"])),
        version=str(data["version"]),
        supervisor=_process(data["supervisor"]),
        programs={
            name: ProgramState(**{**program, "process": _process(program["process"])})
            for name, program in programs.items()
        },
    )


def _process(data: object) -> Process | None:
    return Process(int(data["pid"]), str(data["started"])) if isinstance(data, dict) else None


def with_programs(
    base: StackState, supervisor: Process | None, programs: dict[str, ProgramState]
) -> StackState:
    """The same stack with what runs now."""
    return replace(base, supervisor=supervisor, programs=programs)


def ended(base: StackState) -> StackState:
    """The same stack with nothing running."""
    return replace(base, supervisor=None, programs={})
