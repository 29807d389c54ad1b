"""Families learn: of handwritten digits that were held out, nearly all are told right."""

from pathlib import Path

import pytest
from visiontune_worker.faults import Exit

from tests.support import worker_data, worker_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("preset", ["tiny-llava", "tiny-qwen2-vl"])
def test_a_preset_reads_nine_of_ten_digits(tmp_path: Path, preset: str) -> None:
    asked = worker_data.spec({"preset": preset}, evaluation={"max_new_tokens": 8, "every_steps": 10_000})
    rows = [worker_data.row(index) for index in range(len(worker_data.scans()))]
    with worker_run.job(tmp_path, asked, rows) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        before, after = trainer.metrics_before, trainer.finished[0].metrics
        print({name: (round(before[name], 3), round(value, 3)) for name, value in after.items()})
        assert before["exact_match"] < 0.2
        assert after["exact_match"] >= 0.9
