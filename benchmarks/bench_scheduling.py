"""Seconds until jobs start and end on Kubernetes, against limits: 100 jobs, 20 nodes, a real control plane.

The trainer is the real program with PostgreSQL; stand-ins speak for the training over the worker API (see
tests/cluster/fleet.py). The jobs are created one after another, and a third of them finds room.
"""

import random
import tempfile
from pathlib import Path

from benchmarks.result import Result
from tests.cluster import build, fleet
from tests.cluster.cluster import running

SEED = 5
NODES, JOBS = 20, 100
RUN_S = (10.0, 40.0)
START_LIMIT_S, END_LIMIT_S, IDLE_LIMIT_S = 1.0, 2.0, 5.0


def measure() -> list[Result]:
    """A line for each limit; none where the control plane has not been built."""
    if lacking := build.missing():
        print(f"DID NOT RUN: {', '.join(lacking)} not built; `python -m tests.cluster.build` builds them.")
        return []
    figures = _figures()
    print(figures)
    limits = (
        ("a job created to its pod created, median", figures.start_s, START_LIMIT_S),
        ("a worker's word of success to SUCCEEDED, median", figures.answer_s, END_LIMIT_S),
        ("a pod that failed without a word to FAILED, median", figures.silent_end_s, END_LIMIT_S),
        ("room for the first job that waits left unused, longest", figures.idle_s, IDLE_LIMIT_S),
    )
    return [
        Result(f"{name}, against the limit", "s", seconds, limit, aim=1.0, less_is_better=True)
        for name, seconds, limit in limits
    ]


def _figures() -> fleet.Figures:
    planned = fleet.plans(random.Random(SEED), JOBS, RUN_S)  # noqa: S311 - sizes of jobs
    with tempfile.TemporaryDirectory(prefix="visiontune-bench-") as made:
        folder = Path(made)
        with running(folder) as cluster, fleet.running(cluster, folder / "fleet", planned, NODES) as working:
            working.trainer.start()
            working.submit().result()
            working.wait_for_all()
            return working.figures()
