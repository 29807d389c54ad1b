"""A job on pairs of answers, from claim to finish: what it measures, and that it goes on when stopped."""

import math
from pathlib import Path

import pytest
from visiontune.worker.v1 import worker_pb2
from visiontune_recipes.facts import Kind
from visiontune_recipes.spec import Objective
from visiontune_worker.faults import Exit, Preempted
from visiontune_worker.interrupts import Interrupts

from tests.support import worker_data, worker_run

STEPS = 6


def test_pairs_are_learnt_and_a_resumed_job_is_held_to_the_same_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{**worker_data.row(index), "texts": ["nothing"]} for index in range(60)]
    asked = worker_data.spec(
        hyperparameters={"batch_size": 8, "epochs": 1, "learning_rate": 1e-3},
        checkpointing={"every_steps": 3},
        evaluation={"max_new_tokens": 4, "sample_count": 2},
    )
    with worker_run.job(tmp_path / "straight", asked, rows, kind=Kind.PREFERENCE) as trainer:
        assert trainer.spec.objective is Objective.PREFERENCE
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        [end] = trainer.finished
        assert end.outcome == worker_pb2.OUTCOME_SUCCEEDED
        assert set(end.metrics) == {"loss", "preference_accuracy", "reward_margin"}
        assert trainer.metrics_before["loss"] == pytest.approx(math.log(2), abs=1e-4)
        assert end.metrics["loss"] < math.log(2)
        assert end.metrics["preference_accuracy"] > 0.5
        assert {sample.expected for sample in trainer.samples} <= set(worker_data.WORDS)
        straight = trainer.losses()
    assert sorted(straight) == list(range(1, STEPS + 1))
    assert straight[1] == pytest.approx(math.log(2), abs=1e-4)

    interrupts = Interrupts()
    worker_run.at_step(monkeypatch, 3, lambda: interrupts.hear(Preempted("the test")))
    with worker_run.job(tmp_path / "stopped", asked, rows, kind=Kind.PREFERENCE) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch", interrupts) is Exit.RETRY
        trainer.next_attempt()
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        assert trainer.losses() == straight
