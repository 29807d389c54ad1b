"""One trace holds all that one command set going, across every program."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.otlp import Collector, Span, collector

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class TracedStack:
    """A stack whose programs send their spans to a collector, driven by the CLI."""

    home: Path
    endpoint: str

    def cli(self, *arguments: str, trace_id: str = "") -> None:
        own = {key: value for key, value in os.environ.items() if not key.startswith("VISIONTUNE_")}
        own |= {"VISIONTUNE_HOME": str(self.home), "VISIONTUNE_OTLP_ENDPOINT": self.endpoint}
        if trace_id:
            own["TRACEPARENT"] = f"00-{trace_id}-{secrets.token_hex(8)}-01"
        command = [str(Path(sys.executable).with_name("visiontune")), *arguments]
        done = subprocess.run(command, env=own, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, f"visiontune {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"


@pytest.fixture
def collected() -> Iterator[Collector]:
    with collector() as running:
        yield running


@pytest.fixture
def stack(collected: Collector, tmp_path: Path) -> Iterator[TracedStack]:
    traced = TracedStack(tmp_path / "home", collected.endpoint)
    traced.cli("up", "--detach", "--port", str(free_base_port()))
    try:
        yield traced
    finally:
        traced.cli("down")


def free_base_port() -> int:
    """First of 40 free ports, those 10,000 higher included."""
    return next(
        base
        for base in range(20_000 + os.getpid() % 100 * 100, 32_000, 50)
        if all(is_free(base + offset + high) for offset in range(40) for high in (0, 10_000))
    )


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def arrived(collected: Collector, trace_id: str, programs: set[str]) -> list[Span]:
    """The trace's spans, once there is one of each program; they are sent in batches."""
    ends_at = time.monotonic() + 30
    while True:
        spans = collected.spans(trace_id)
        missing = programs - {span.service.removeprefix("visiontune-") for span in spans}
        if not missing:
            return spans
        if time.monotonic() > ends_at:
            seen = sorted({f"{span.service} {span.name}" for span in spans})
            raise AssertionError(f"no span of {missing}; there are {seen}")
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_trace_runs_from_the_cli_through_every_program_to_the_worker(
    stack: TracedStack, collected: Collector, tmp_path: Path
) -> None:
    archive = tmp_path / "digits.tar.gz"
    subprocess.run([sys.executable, str(ROOT / "examples/digits.py"), str(archive)], check=True)
    importing, training = secrets.token_hex(16), secrets.token_hex(16)

    stack.cli("dataset", "import", str(archive), "--dataset", "digits", trace_id=importing)
    spans = arrived(collected, importing, {"gateway", "dataset", "storage"})
    assert_below_one(spans, "operation import", "visiontune.storage.v1.StorageService/")

    stack.cli("train", "-d", "digits", "-m", "tiny-llava", "--max-steps", "2", "--wait", trace_id=training)
    spans = arrived(collected, training, {"gateway", "dataset", "storage", "trainer", "worker"})
    assert_below_one(spans, "worker.attempt", "visiontune.worker.v1.WorkerService/")


def assert_below_one(spans: list[Span], parent: str, child: str) -> None:
    """Some span whose name begins with `child` descends from one called `parent`, and that from a call."""
    by_id = {span.span_id: span for span in spans}

    def ancestors(span: Span) -> list[str]:
        above = by_id.get(span.parent_id)
        return [above.name, *ancestors(above)] if above else []

    names = [ancestors(span) for span in spans if span.name.startswith(child)]
    assert any(parent in above and above.index(parent) < len(above) - 1 for above in names), names
