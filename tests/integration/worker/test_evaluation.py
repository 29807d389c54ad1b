"""Early stopping and the best state, over real sockets: interrupted or not, the same comes out."""

import random
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlavaForConditionalGeneration
from visiontune.worker.v1 import worker_pb2
from visiontune_recipes.spec import Sharding, Spec
from visiontune_worker.faults import Exit, Preempted
from visiontune_worker.interrupts import Interrupts

from tests.support import worker_data, worker_run
from tests.support.worker_service import Trainer

# Of 20 steps: the learning rate is too high, so that the loss soon rises.
LAST, EVERY, PATIENCE = 20, 2, 2


def asked(state: str = "STATE_UNSPECIFIED") -> Spec:
    return worker_data.spec(
        hyperparameters={
            "batch_size": 16,
            "max_steps": LAST,
            "epochs": 4,
            "learning_rate": 0.03,
            "schedule": "SCHEDULE_CONSTANT",
            "warmup_ratio": 0,
        },
        evaluation={
            "every_steps": EVERY,
            "max_new_tokens": 2,
            "sample_count": 2,
            "early_stopping": {"patience": PATIENCE},
        },
        checkpointing={"every_steps": 5},
        publish={"state": state},
    )


@dataclass
class Outcome:
    """What came out of a job, as far as it must not depend on interruptions."""

    losses: dict[int, float]
    evaluations: dict[int, float]
    events: list[tuple[str, str]]
    metrics: dict[str, float]
    samples: list[tuple[str, str, int]]
    message: str
    best_step: int


def outcome(trainer: Trainer) -> Outcome:
    [end] = trainer.finished
    assert end.outcome == worker_pb2.OUTCOME_SUCCEEDED
    measured = ((step, values.get("eval_loss")) for step, values in trainer.metrics.items())
    return Outcome(
        trainer.losses(),
        {step: value for step, value in sorted(measured) if value is not None},
        [(each.reason, each.message) for each in trainer.notices],
        dict(end.metrics),
        [(each.example, each.after, each.after_step) for each in trainer.samples],
        end.message,
        end.best_step,
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A run that nothing disturbed, whose result is checked here, where its files are."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    with worker_run.job(folder, asked()) as trainer:
        assert worker_run.work(trainer, folder / "scratch") is Exit.DONE
        found = outcome(trainer)
        assert_published(trainer, found.best_step)
        progress = trainer.progress[-1]
        assert progress.step == progress.total_steps == max(found.losses)
        assert (progress.best.step, progress.best.metric) == (found.best_step, "loss")
        assert progress.best.evaluations_without_progress == PATIENCE
        return found


def assert_published(trainer: Trainer, step: int) -> None:
    """The result is, in plain transformers, the model of that step's checkpoint."""
    model = LlavaForConditionalGeneration.from_pretrained(trainer.store.folder / "artifacts" / "model")
    weights = load_file(trainer.store.folder / f"checkpoints/step-{step}/weights.safetensors")
    assert all(torch.equal(each, weights[name]) for name, each in model.state_dict().items())


def test_patience_ends_the_training_and_the_best_state_is_published(uninterrupted: Outcome) -> None:
    losses = {step: value for step, value in uninterrupted.evaluations.items() if step}
    best = min(losses, key=losses.__getitem__)
    stopped = best + EVERY * PATIENCE
    assert stopped < LAST, "the example does not show what it is for"
    assert max(uninterrupted.losses) == max(losses) == stopped
    assert uninterrupted.best_step == best
    assert uninterrupted.metrics["loss"] == losses[best]
    assert [step for _, _, step in uninterrupted.samples] == [best, best]
    [(reason, message)] = uninterrupted.events
    assert reason == "STOPPED_EARLY"
    assert message == uninterrupted.message
    assert message.startswith(f"Stopped early at step {stopped} of {LAST}: loss made no progress in 2")
    assert message.endswith(f"The result is the state of step {best}, loss {losses[best]:.4f}.")


@pytest.mark.parametrize(
    "after", [-1, *(pytest.param(each, marks=pytest.mark.slow) for each in (1, 2, 4, 5, 6, 7))]
)
def test_interrupted_after_any_step_the_same_comes_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: Outcome, after: int
) -> None:
    steps = max(uninterrupted.losses)
    # At a step whose evaluation the checkpoint does not know, after the best one.
    stop_at = after if after > 0 else steps - EVERY
    interrupts = Interrupts()
    worker_run.at_step(monkeypatch, stop_at, lambda: interrupts.hear(Preempted("the test")))
    with worker_run.job(tmp_path, asked()) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch", interrupts) is Exit.RETRY
        trainer.finished.clear()
        trainer.next_attempt()
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        assert outcome(trainer) == uninterrupted


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_shot_at_any_moment_the_same_comes_out(tmp_path: Path, uninterrupted: Outcome, seed: int) -> None:
    steps = random.Random(seed).randint(1, max(uninterrupted.losses))
    with worker_run.job(tmp_path, asked()) as trainer:
        process = worker_run.start(trainer, tmp_path / "scratch", VISIONTUNE_WORKER_THREADS="1")
        trainer.wait_until(lambda: trainer.finished or max(trainer.losses(), default=0) >= steps, 120)
        process.kill()
        process.wait()
        trainer.finished.clear()
        trainer.notices.clear()
        trainer.next_attempt()
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        assert outcome(trainer) == uninterrupted


@pytest.mark.slow
def test_the_last_state_is_published_where_the_job_says_so(tmp_path: Path, uninterrupted: Outcome) -> None:
    with worker_run.job(tmp_path, asked("STATE_LAST")) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        found = outcome(trainer)
        assert found.losses == uninterrupted.losses
        assert found.metrics["loss"] == found.evaluations[max(found.losses)]
        assert "The result is" not in found.message


@pytest.mark.slow
def test_patience_that_ends_with_the_last_step_stopped_nothing_early(
    tmp_path: Path, uninterrupted: Outcome
) -> None:
    steps = max(uninterrupted.losses)
    spec = asked()
    numbers = spec.hyperparameters.model_copy(update={"max_steps": steps})
    with worker_run.job(tmp_path, spec.model_copy(update={"hyperparameters": numbers})) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        found = outcome(trainer)
        assert (found.losses, found.best_step) == (uninterrupted.losses, uninterrupted.best_step)
        assert found.events == []
        assert found.message.startswith(f"The result is the state of step {found.best_step}")


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["SHARDING_NONE", "SHARDING_FULL"])
def test_ranks_stop_together_and_the_best_state_is_published(
    tmp_path: Path, uninterrupted: Outcome, sharding: str
) -> None:
    spec = asked()
    resources = spec.resources.model_copy(update={"sharding": Sharding(sharding)})
    with worker_run.job(tmp_path, spec.model_copy(update={"resources": resources})) as trainer:
        launchers = worker_run.start_ranks(trainer, tmp_path / "ranks")
        assert {each.wait(timeout=600) for each in launchers} == {0}
        found = outcome(trainer)
        # Sums in another order: equal in the beginning, and so where it stops.
        assert found.best_step == uninterrupted.best_step
        assert found.losses.keys() == uninterrupted.losses.keys()
        assert found.evaluations[EVERY] == pytest.approx(uninterrupted.evaluations[EVERY], rel=1e-3)
        assert_published(trainer, found.best_step)


def test_a_best_state_that_is_lost_asks_for_another_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: Outcome
) -> None:
    interrupts = Interrupts()
    stop_at = uninterrupted.best_step + 1
    worker_run.at_step(monkeypatch, stop_at, lambda: interrupts.hear(Preempted("the test")))
    with worker_run.job(tmp_path, asked()) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch", interrupts) is Exit.RETRY
        trainer.finished.clear()
        trainer.next_attempt()
        trainer.best_step = None
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.RETRY
        [end] = trainer.finished
        assert end.reason == "CHECKPOINT_DOES_NOT_FIT"
        assert f"step {uninterrupted.best_step}" in end.message
