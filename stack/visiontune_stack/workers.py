"""Local workers, which the trainer starts in sessions of their own so that they outlive it."""

from pathlib import Path

from visiontune_stack import process
from visiontune_stack.process import Process

# Beside a worker's scratch disk lies `run`: its own line of /proc/<pid>/stat at its start.
RUN_FILES = ("*.*.*/run", "*/*.*.*/run")


def running_workers(scratch: Path) -> list[Process]:
    """Workers that live, by the run files that they wrote."""
    found = [_process(path) for pattern in RUN_FILES for path in sorted(scratch.glob(pattern))]
    return [worker for worker in found if worker is not None and worker.alive()]


def stop_workers(scratch: Path, grace_s: float) -> int:
    """Ends every local worker and returns how many there were.

    Their jobs go on from the last checkpoint when the stack is up again.
    """
    workers = running_workers(scratch)
    process.stop_all(workers, grace_s)
    return len(workers)


def _process(path: Path) -> Process | None:
    try:
        return process.parse_linux_stat(path.read_text("utf-8", "replace"))
    except (OSError, ValueError, IndexError):
        return None
