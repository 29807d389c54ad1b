"""Local workers, which the trainer starts in sessions of their own so that they outlive it."""

import json
from pathlib import Path

from visiontune_stack import process
from visiontune_stack.process import Process


def running_workers(runs: Path) -> list[Process]:
    """Workers that live, by the run files that the trainer keeps (`pid` in each)."""
    found = [_process(path) for path in sorted(runs.glob("*.json"))]
    return [worker for worker in found if worker is not None]


def stop_workers(runs: Path, grace_s: float) -> int:
    """Ends every local worker and returns how many there were.

    Their jobs go on from the last checkpoint when the stack is up again.
    """
    workers = running_workers(runs)
    process.stop_all(workers, grace_s)
    return len(workers)


def _process(path: Path) -> Process | None:
    try:
        run = json.loads(path.read_text("utf-8"))
        return process.find(int(run["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
