"""A whole stack for tests: `visiontune up` in a home and on ports of its own."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visiontune import Client

from tests.support import databases, warm_cli
from tests.support.manifests import SERVERS

UP_TIMEOUT_S = 120


@dataclass(frozen=True)
class Stack:
    """One home and its programs, driven as a user would: by the CLI and the SDK."""

    home: Path
    port: int
    settings: Mapping[str, str] = field(default_factory=dict)  # environment variables, beside home and port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        own = {key: value for key, value in os.environ.items() if not key.startswith("VISIONTUNE_")}
        home = {"VISIONTUNE_HOME": str(self.home), "VISIONTUNE_PORT": str(self.port)}
        return {**own, **home, **self.settings}

    def cli(
        self, *arguments: str, check: bool = True, timeout_s: float = 300, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs `visiontune …` with these environment variables; a failure shows what it printed."""
        return _checked(warm_cli.run(arguments, self.environment | variables, timeout_s), check)

    def script(self, *arguments: str) -> None:
        """The same by the installed script, which must end well."""
        command = [str(Path(sys.executable).with_name("visiontune")), *arguments]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=UP_TIMEOUT_S
        )
        _checked(done, check=True)

    def up(self) -> None:
        self.script("up", "--detach")

    def down(self) -> None:
        self.script("down")

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.cli("status", "--output", "json", check=False).stdout))

    def pids(self) -> dict[str, int]:
        """What runs now: every program, and `worker` when a job does."""
        found = self.status()
        pids = {program["name"]: program["pid"] for program in found["programs"] if program["pid"]}
        return {**pids, "worker": found["worker_pids"][0]} if found["worker_pids"] else pids

    def api_key(self) -> str:
        return (self.home / "api-key").read_text().strip()

    def client(self, api_key: str = "") -> Client:
        return Client(self.url, api_key or self.api_key())


def _checked(done: subprocess.CompletedProcess[str], check: bool) -> subprocess.CompletedProcess[str]:
    assert not (check and done.returncode), f"{done.args}:\n{done.stdout}\n{done.stderr}"
    return done


def make(home: Path, **settings: str) -> Stack:
    """A stack that does not run yet, with 40 ports that were free a moment ago."""
    urls = (
        {}
        if databases.DATABASE == "sqlite"
        else {f"VISIONTUNE_{name.upper()}_DATABASE_URL": databases.url_in(home, name) for name in SERVERS}
    )
    return Stack(home, free_base_port(), urls | settings)


def free_base_port() -> int:
    """First of 40 free ports, those 10,000 higher included; tests that run side by side look elsewhere."""
    neighbour = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 20_000 + neighbour % 8 * 1_500
    for base in range(first, first + 1_500, 50):
        if all(_is_free(base + offset + high) for offset in range(40) for high in (0, 10_000)):
            return base
    raise AssertionError("no 40 free ports in a row")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
