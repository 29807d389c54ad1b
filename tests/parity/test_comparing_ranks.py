"""Two processes that compare learn and measure what one does: texts and images of all ranks are compared."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from visiontune_recipes.objectives import OBJECTIVES
from visiontune_worker.faults import Exit

from tests.parity.test_worker_ranks import losses, ranks
from tests.support import pairs, worker_data, worker_run
from tests.support.worker_service import Trainer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
# 98 of them to train on, 16 a step in two passes: the last step has two, so that each rank has one.
ROWS = 122
STEPS = 14


@contextmanager
def job(folder: Path, preset: str) -> Iterator[Trainer]:
    asked = worker_data.spec(
        {"preset": preset},
        hyperparameters={
            "batch_size": 8,
            "gradient_accumulation_steps": 2,
            "epochs": 2,
            "learning_rate": 1e-3,
        },
    )
    rows: list[dict[str, Any]] = [pairs.captioned(index, *pairs.CAPTIONS) for index in range(ROWS)]
    if "col" in preset:
        rows = [pairs.page(index, negatives=index % 3) for index in range(ROWS)]
    with worker_run.job(folder, asked, rows) as trainer:
        yield trainer


@pytest.mark.parametrize(
    ("preset", "objective"),
    [("tiny-clip", "contrastive"), ("tiny-siglip", "contrastive"), ("tiny-colqwen2", "late_interaction")],
)
def test_two_ranks_learn_and_measure_what_one_process_does(
    tmp_path: Path, preset: str, objective: str
) -> None:
    with job(tmp_path / "alone", preset) as trainer:
        assert worker_run.work(trainer, tmp_path / "alone" / "scratch") is Exit.DONE
        alone = trainer.metrics
        samples = [(each.example, each.after) for each in trainer.samples]
    with job(tmp_path / "two", preset) as trainer:
        assert ranks(trainer, tmp_path / "two", nodes=2) == {0}
        assert losses(trainer.metrics) == pytest.approx(losses(alone), abs=1e-4)
        for step in (STEPS // 2, STEPS):
            names = ["grad_norm", *(f"eval_{name}" for name in OBJECTIVES[objective].metrics)]
            for name in names:
                assert trainer.metrics[step][name] == pytest.approx(alone[step][name], abs=1e-3), name
        assert [(each.example, each.after) for each in trainer.samples] == samples
