"""A pod's token becomes the attempt's before anything else is said."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from visiontune_worker.attempt import Attempt
from visiontune_worker.faults import EnvironmentFault, Exit
from visiontune_worker.interrupts import Interrupts

from tests.support import worker_run
from tests.support.worker_service import Trainer


def attempt_in_pod(trainer: Trainer, path: Path) -> Attempt:
    return Attempt(
        target=f"127.0.0.1:{trainer.port}",
        name=trainer.name,
        token="",
        pod_token_file=path,
        worker_id="w",
        interrupts=Interrupts(),
        patience_s=20,
    )


def test_a_pod_exchanges_its_token_and_reads_it_anew_until_it_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("not yet\n")

    def renew() -> None:
        while not trainer.exchanges:
            time.sleep(0.01)
        path.write_text(trainer.pod_token)

    with worker_run.job(tmp_path) as trainer:
        kubelet = threading.Thread(target=renew)
        kubelet.start()
        with attempt_in_pod(trainer, path) as attempt:
            assert attempt.claim().spec == trainer.spec
        kubelet.join()
        assert trainer.exchanges[0] == "Bearer not yet"
        assert trainer.exchanges[-1] == f"Bearer {trainer.pod_token}"
        assert trainer.claims == 1


def test_a_token_file_that_is_not_there_is_a_matter_of_the_environment(tmp_path: Path) -> None:
    with (
        worker_run.job(tmp_path) as trainer,
        attempt_in_pod(trainer, tmp_path / "absent") as attempt,
        pytest.raises(EnvironmentFault, match="cannot be read"),
    ):
        attempt.claim()


def test_a_worker_without_any_token_says_what_is_missing(tmp_path: Path) -> None:
    with worker_run.job(tmp_path) as trainer:
        variables = {
            **os.environ,
            **worker_run.environment(trainer, tmp_path / "scratch", VISIONTUNE_WORKER_TOKEN=""),
        }
    command = [sys.executable, "-m", "visiontune_worker"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == Exit.ENVIRONMENT
    assert "VISIONTUNE_WORKER_POD_TOKEN_FILE" in done.stderr
