"""What the worker tells MLflow, Trackio and W&B is in their stores, written by their packages as released.

`tests/integration/worker/test_mirrors.py` has doubles of them, for what is said and when.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from visiontune_worker.faults import Exit

from tests.support import trackers, worker_data, worker_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not trackers.FOLDER.is_dir(), reason="make test-parity installs the trackers"),
]
SHORT = worker_data.spec(
    hyperparameters={"batch_size": 8, "max_steps": 3}, evaluation={"max_new_tokens": 2, "max_examples": 2}
)


@pytest.mark.parametrize("name", trackers.READERS)
def test_a_tracker_has_what_the_trainer_has(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    where = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "TRACKIO_DIR": str(folder),
        "WANDB_DIR": str(folder),
        "WANDB_MODE": "offline",
    }
    program(where, "prepare", name, str(folder))
    with worker_run.job(tmp_path, SHORT) as trainer:
        told = worker_run.environment(trainer, tmp_path / "scratch", VISIONTUNE_WORKER_REPORT_TO=name)
        ended = program(where | told, "work")
        assert ended.returncode == Exit.DONE, ended.stderr
        run, about, losses = json.loads(program(where, "read", name, str(folder)).stdout)
        assert run == "job-1"
        assert int(about["batch_size"]) == 8
        assert about["training_job"] == "projects/p/trainingJobs/job"
        read = {int(step): loss for step, loss in losses.items()}
        assert read == pytest.approx(trainer.losses())


def program(more: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs it to its end; a failure shows what it printed."""
    command = [sys.executable, "-m", "tests.support.trackers", *arguments]
    return subprocess.run(command, env=os.environ | more, capture_output=True, text=True, check=False)
