"""One trace holds all that one command set going, across every program."""

import secrets
import time
from pathlib import Path

import pytest

from examples import digits
from tests.support.otlp import Collector, Span
from tests.support.stack import Stack
from tests.system.conftest import Watched


def run_traced(stack: Stack, *arguments: str) -> str:
    """Runs `visiontune …` below a new trace; returns the trace's id."""
    trace_id = secrets.token_hex(16)
    stack.cli(*arguments, TRACEPARENT=f"00-{trace_id}-{secrets.token_hex(8)}-01")
    return trace_id


def chains(spans: list[Span], child: str) -> list[list[str]]:
    """The names above each span whose own begins with `child`, nearest first."""
    by_id = {span.span_id: span for span in spans}

    def ancestors(span: Span) -> list[str]:
        above = by_id.get(span.parent_id)
        return [above.name, *ancestors(above)] if above else []

    return [ancestors(span) for span in spans if span.name.startswith(child)]


def await_trace(collected: Collector, trace_id: str, programs: set[str], parent: str, child: str) -> None:
    """Waits for a span of each program, and for one named `child`… below one called `parent` below a call.

    Programs send their spans in batches, and a span only once it has ended: parents come after children.
    """
    ends_at = time.monotonic() + 30
    while True:
        spans = collected.spans(trace_id)
        missing = programs - {span.service.removeprefix("visiontune-") for span in spans}
        above = chains(spans, child)
        if not missing and any(parent in names[:-1] for names in above):
            return
        if time.monotonic() > ends_at:
            seen = sorted({f"{span.service} {span.name}" for span in spans})
            raise AssertionError(f"no span of {missing}, or {parent} not in {above}; there are {seen}")
        time.sleep(0.2)


@pytest.mark.timeout(600)
def test_one_trace_runs_from_the_cli_through_every_program_to_the_worker(
    watched: Watched, tmp_path: Path
) -> None:
    stack, collected = watched.stack, watched.collected
    archive = tmp_path / "digits.tar.gz"
    digits.build(archive, limit=60)

    importing = run_traced(stack, "dataset", "import", str(archive), "--dataset", "digits")
    programs = {"gateway", "dataset", "storage"}
    await_trace(collected, importing, programs, "operation import", "visiontune.storage.v1.StorageService/")

    training = run_traced(stack, "train", "-d", "digits", "-m", "tiny-llava", "--max-steps", "2", "--wait")
    programs |= {"trainer", "worker"}
    await_trace(collected, training, programs, "worker.attempt", "visiontune.worker.v1.WorkerService/")
