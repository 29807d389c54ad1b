"""A whole stack for tests: `visiontune up` in a home and on ports of its own, driven by the real command."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from visiontune_stack.ports import Ports, is_free

PATIENCE_S = 240


class RunningStack:
    """One home. Every method runs `visiontune` as a user would."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_base()
        self.url = f"http://127.0.0.1:{self.port}"

    def visiontune(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One command; its output goes into the failure when `check` finds a bad exit code."""
        given = {k: v for k, v in os.environ.items() if not k.startswith("VISIONTUNE_")}
        done = subprocess.run(
            [sys.executable, "-m", "visiontune.cli", *arguments],
            env={**given, "VISIONTUNE_HOME": str(self.home), "COLUMNS": "200", "OMP_NUM_THREADS": "2"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done

    def json(self, *arguments: str, check: bool = True) -> Any:
        """The parsed output of one command with --output json."""
        return json.loads(self.visiontune(*arguments, "--output", "json", check=check).stdout)

    def up(self) -> Any:
        return self.json("up", "--detach", "--port", str(self.port), "--timeout", str(PATIENCE_S))

    def down(self) -> None:
        self.visiontune("down")

    def pids(self) -> dict[str, int]:
        """Pid of each running program."""
        status = self.json("status", check=False)
        return {program["name"]: program["pid"] for program in status["programs"] if program["pid"]}

    @property
    def api_key(self) -> str:
        return (self.home / "api-key").read_text().strip()

    def logs(self) -> str:
        """The end of each program's log."""
        files = sorted((self.home / "logs").glob("*.log"))
        return "\n".join(f"== {path.name}\n{path.read_text('utf-8', 'replace')[-1500:]}" for path in files)


def free_base() -> int:
    """A first port such that all ports of a stack are free; below those that the system hands out."""
    while True:
        base = random.randrange(12_000, 21_000, 100)
        ports = Ports(base)
        ours = [base + offset for offset in (0, 1, 2, 3, 4, 11, 12, 13)]
        if all(is_free(port) for port in (*ours, *ports.of_object_store)):
            return base


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack that runs, shared by the whole session: leave it running."""
    made = RunningStack(tmp_path_factory.mktemp("stack"))
    try:
        made.up()
        yield made
    finally:
        made.down()
