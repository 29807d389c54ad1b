"""What the trainer's settings tell its workers."""

from pathlib import Path

import pytest
from visiontune_trainer.settings import Settings
from visiontune_worker.settings import Settings as WorkerSettings


def test_a_worker_is_told_where_to_report_and_how_to_log(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Settings(
        host="::",
        port=8703,
        worker_port=8705,
        otlp_endpoint="http://collector:4317",
        tls_ca_file=Path("/ca.pem"),
        log_level="debug",
        log_format="console",
    )
    own = {
        "VISIONTUNE_WORKER_ATTEMPT": "projects/p/trainingJobs/j/attempts/1",
        "VISIONTUNE_WORKER_TOKEN": "t",
    }
    for name, value in {
        **given.worker_environment(),
        **own,
        "VISIONTUNE_WORKER_SCRATCH_DIR": "/scratch",
    }.items():
        monkeypatch.setenv(name, value)
    told = WorkerSettings()
    assert told.trainer_target == "127.0.0.1:8705"
    assert told.otlp_endpoint == "http://collector:4317"
    assert told.tls_ca_file == Path("/ca.pem")
    assert (told.log_level, told.log_format) == ("debug", "console")
