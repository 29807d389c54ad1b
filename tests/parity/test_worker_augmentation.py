"""Augmented training is as repeatable as plain training: resumed, by two ranks, whatever else draws."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from visiontune_worker.faults import Exit, Preempted
from visiontune_worker.interrupts import Interrupts

from tests.support import worker_data, worker_run
from tests.support.worker_service import Trainer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
# 97 of them to train on, 16 a step: the last step of an epoch has one, so that a rank has none.
ROWS = 122
STEPS = 14


@contextmanager
def job(folder: Path, preset: str = "PRESET_STRONG") -> Iterator[Trainer]:
    asked = worker_data.spec(
        hyperparameters={"batch_size": 8, "gradient_accumulation_steps": 2, "epochs": 2},
        evaluation={"max_new_tokens": 2},
        augmentation={"preset": preset},
    )
    with worker_run.job(folder, asked, [worker_data.row(index) for index in range(ROWS)]) as trainer:
        yield trainer


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, float]]:
    """What one process measured at each step, with a strong policy."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    with job(folder) as trainer:
        assert worker_run.work(trainer, folder / "scratch") is Exit.DONE
        return trainer.metrics


def losses(metrics: dict[int, dict[str, float]]) -> list[float]:
    return [metrics[step]["loss"] for step in range(1, STEPS + 1)]


def test_interrupted_in_either_epoch_the_losses_are_the_same_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: dict[int, dict[str, float]]
) -> None:
    stop_at = random.randint(1, STEPS - 1)
    print(f"stopped at {stop_at}")
    interrupts = Interrupts()
    worker_run.at_step(monkeypatch, stop_at, lambda: interrupts.hear(Preempted("the test")))
    with job(tmp_path) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch", interrupts) is Exit.RETRY
        trainer.finished.clear()
        trainer.next_attempt()
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        assert losses(trainer.metrics) == losses(uninterrupted)


def test_two_ranks_see_the_pictures_of_one(
    tmp_path: Path, uninterrupted: dict[int, dict[str, float]]
) -> None:
    with job(tmp_path) as trainer:
        [launcher] = worker_run.start_ranks(trainer, tmp_path)
        try:
            assert launcher.wait(timeout=600) == 0
        finally:
            launcher.terminate()
            launcher.wait(timeout=60)
        assert losses(trainer.metrics) == pytest.approx(losses(uninterrupted), abs=1e-5)


def untimed(metrics: dict[str, float]) -> dict[str, float]:
    """Without what is a speed."""
    return {name: value for name, value in metrics.items() if not name.endswith("_per_second")}


def test_training_alone_is_augmented(tmp_path: Path, uninterrupted: dict[int, dict[str, float]]) -> None:
    with job(tmp_path, "PRESET_NONE") as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        # The untrained model is measured on the same pictures, and trains on others.
        assert untimed(trainer.metrics[0]) == untimed(uninterrupted[0])
        assert all(a != b for a, b in zip(losses(trainer.metrics), losses(uninterrupted), strict=True))
