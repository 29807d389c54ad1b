"""An attempt from claim to finish, over real sockets: what is trained, told and published."""

import os
import random
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoProcessor, LlavaForConditionalGeneration
from visiontune.worker.v1 import worker_pb2
from visiontune_worker.attempt import Attempt
from visiontune_worker.faults import Exit, Paused, Preempted
from visiontune_worker.interrupts import Interrupts
from visiontune_worker.objectives import causal_lm
from visiontune_worker.objectives.objective import Loss

from tests.support import worker_data, worker_run
from tests.support.worker_service import Trainer

STEPS = 12
ORDER = worker_pb2.ReportResponse


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """The losses of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    with worker_run.job(folder) as trainer:
        assert worker_run.work(trainer, folder / "scratch") is Exit.DONE
        return trainer.losses()


def finished(trainer: Trainer) -> worker_pb2.FinishAttemptRequest:
    assert len(trainer.finished) == 1
    return trainer.finished[0]


def test_a_job_is_trained_told_and_published(tmp_path: Path) -> None:
    with worker_run.job(tmp_path) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        end = finished(trainer)
        folder = trainer.store.folder / "artifacts" / "model"
        assert end.outcome == worker_pb2.OUTCOME_SUCCEEDED
        assert set(end.metrics) == {"loss", "exact_match", "vqa_accuracy", "token_accuracy"}
        assert end.parameter_count == 625_728
        assert sorted(trainer.losses()) == list(range(1, STEPS + 1))
        assert {"eval_loss", "eval_exact_match"} <= trainer.metrics[STEPS].keys()
        assert trainer.metrics[STEPS]["evaluation_samples_per_second"] > 0
        assert trainer.metrics_before["loss"] > end.metrics["loss"]
        assert sorted(trainer.checkpoints) == [6, 12]
        assert [each.phase for each in trainer.progress][-1] == "publishing"
        sample = trainer.samples[0]
        assert sample.example == f"{worker_data.VERSION}/examples/0"
        assert (sample.prompt, sample.expected) == (f"<image>\n{worker_data.QUESTION}", "zero")
        assert (len(trainer.samples), sample.after_step) == (8, STEPS)
        assert_loads_as_trained(folder, trainer)
    assert not (tmp_path / "scratch").exists()


def assert_loads_as_trained(folder: Path, trainer: Trainer) -> None:
    """The published folder is, in plain transformers, the model of the last checkpoint."""
    model = LlavaForConditionalGeneration.from_pretrained(folder)
    trained = load_file(trainer.store.folder / f"checkpoints/step-{STEPS}/weights.safetensors")
    assert all(torch.equal(each, trained[name]) for name, each in model.state_dict().items())
    AutoProcessor.from_pretrained(folder)  # type: ignore[no-untyped-call]  # transformers
    card = (folder / "README.md").read_text()
    assert trainer.manifest.digest in card
    assert f"{finished(trainer).metrics['exact_match']:.4f}" in card
    assert "learning_rate" in (folder / "reproduce.yaml").read_text()


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_interrupted_at_any_step_the_later_losses_are_the_same_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: dict[int, float], seed: int
) -> None:
    stop_at = random.Random(seed).randint(1, STEPS - 1)
    interrupts = Interrupts()
    worker_run.at_step(monkeypatch, stop_at, lambda: interrupts.hear(Preempted("the test")))
    with worker_run.job(tmp_path) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch", interrupts) is Exit.RETRY
        assert (finished(trainer).outcome, finished(trainer).reason) == (
            worker_pb2.OUTCOME_RETRY,
            "PREEMPTED",
        )
        assert max(trainer.checkpoints) == stop_at
        before = dict(trainer.metrics_before)
        trainer.finished.clear()
        trainer.next_attempt()
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        assert trainer.losses() == uninterrupted
        # The untrained model was measured once, and its answers are still there.
        assert trainer.metrics_before == before
        assert all(sample.before or sample.expected for sample in trainer.samples)


@pytest.mark.slow  # tests/chaos kills one in every run
def test_a_worker_that_was_shot_resumes_from_the_last_committed_checkpoint(
    tmp_path: Path, uninterrupted: dict[int, float]
) -> None:
    with worker_run.job(tmp_path) as trainer:
        process = worker_run.start(trainer, tmp_path / "scratch", VISIONTUNE_WORKER_THREADS="1")
        trainer.wait_until(lambda: trainer.checkpoints, timeout_s=120)
        process.kill()
        process.wait()
        trainer.finished.clear()
        trainer.next_attempt()
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        assert trainer.losses() == uninterrupted


def test_sigterm_saves_at_the_next_step_and_exits_75(tmp_path: Path) -> None:
    slow = worker_data.spec(
        hyperparameters={"batch_size": 16, "epochs": 500}, evaluation={"max_new_tokens": 2}
    )
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with worker_run.job(tmp_path, slow) as trainer:
        process = worker_run.start(trainer, tmp_path / "scratch", TRACEPARENT=parent)
        trainer.wait_until(lambda: max(trainer.losses(), default=0) > 6, timeout_s=120)
        process.terminate()
        assert process.wait(timeout=60) == Exit.RETRY
        assert max(trainer.checkpoints) >= max(trainer.losses())
        assert finished(trainer).reason == "PREEMPTED"
        # The trace that launched the worker goes on in its calls.
        assert {each[3:35] for each in trainer.traceparents} == {parent[3:35]}
    assert not (tmp_path / "scratch").exists()


def test_a_cancelled_worker_stops_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with worker_run.job(tmp_path) as trainer:
        interrupts = Interrupts()
        cancel = partial(trainer.order_and_wait, ORDER.ORDER_CANCEL, interrupts)
        worker_run.at_step(monkeypatch, 3, cancel)
        assert worker_run.work(trainer, tmp_path / "scratch", interrupts) is Exit.DONE
        assert finished(trainer).outcome == worker_pb2.OUTCOME_CANCELLED
        assert max(trainer.losses()) == 3


def test_a_paused_worker_goes_on_as_if_it_had_not_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: dict[int, float]
) -> None:
    interrupts = Interrupts()
    with worker_run.job(tmp_path) as trainer:

        def paused_after(step: int) -> None:
            assert worker_run.work(trainer, tmp_path / "scratch", interrupts) is Exit.DONE
            assert finished(trainer).outcome == worker_pb2.OUTCOME_PAUSED
            assert max(trainer.checkpoints) == step == max(trainer.losses())
            trainer.finished.clear()
            trainer.next_attempt()

        worker_run.at_step(monkeypatch, 4, partial(trainer.order_and_wait, ORDER.ORDER_PAUSE, interrupts))
        paused_after(4)
        trainer.order = ORDER.ORDER_CONTINUE
        # What is due at a step is done before the worker leaves: the next attempt begins behind it.
        interrupts = Interrupts()
        worker_run.at_step(monkeypatch, 6, lambda: interrupts.hear(Paused("by a user")))
        paused_after(6)
        assert "eval_loss" in trainer.metrics[6]
        # When nothing but the result is left to do, it is brought to its end.
        interrupts = Interrupts()
        worker_run.at_step(monkeypatch, STEPS, lambda: interrupts.hear(Paused("too late")))
        assert worker_run.work(trainer, tmp_path / "scratch", interrupts) is Exit.DONE
        assert finished(trainer).outcome == worker_pb2.OUTCOME_SUCCEEDED
        assert trainer.losses() == uninterrupted
        evaluated = [line.message.split(":")[0] for line in trainer.logs if "Evaluated" in line.message]
        assert evaluated == [f"Evaluated at step {step}" for step in (0, 6, STEPS)]


def test_a_stale_worker_leaves_without_touching_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with worker_run.job(tmp_path) as trainer:
        worker_run.at_step(monkeypatch, 3, lambda: setattr(trainer, "stale", True))
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.STALE
        assert trainer.finished == []
        assert trainer.checkpoints == {}


def test_a_trainer_that_dies_and_returns_misses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: dict[int, float]
) -> None:
    with worker_run.job(tmp_path) as trainer:

        def restart() -> None:
            trainer.stop()
            timer = threading.Timer(2.0, trainer.start)
            timer.start()

        worker_run.at_step(monkeypatch, 8, restart)
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        assert trainer.losses() == uninterrupted
        assert finished(trainer).outcome == worker_pb2.OUTCOME_SUCCEEDED


def test_a_stream_that_ends_takes_no_report_with_it(tmp_path: Path) -> None:
    with worker_run.job(tmp_path) as trainer:
        trainer.answers_a_stream = 2
        target = f"127.0.0.1:{trainer.port}"
        with Attempt(
            target=target,
            name=trainer.name,
            token=trainer.token,
            worker_id="w",
            interrupts=Interrupts(),
            patience_s=20,
        ) as attempt:
            attempt.claim()
            for step in range(1, 61):
                attempt.outbox.metrics(step=step, epoch=1.0, values={"loss": float(step)})
                time.sleep(0.05)
            attempt.flush()
        assert trainer.losses() == {step: float(step) for step in range(1, 61)}
        assert trainer.acknowledged > 4, "so few reports tell nothing about streams"


def test_a_store_that_is_away_for_a_while_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with worker_run.job(tmp_path) as trainer:
        trainer.store.answers = [503, 500, 429]

        def away() -> None:
            trainer.store.away = True
            threading.Timer(1.5, lambda: setattr(trainer.store, "away", False)).start()

        worker_run.at_step(monkeypatch, 6, away)
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        assert sorted(trainer.checkpoints) == [6, 12]


def test_a_store_that_stays_away_asks_for_another_attempt(tmp_path: Path) -> None:
    with worker_run.job(tmp_path) as trainer:
        trainer.store.away = True
        assert worker_run.work(trainer, tmp_path / "scratch", patience_s=1.0) is Exit.RETRY
        end = finished(trainer)
        assert (end.outcome, end.reason) == (worker_pb2.OUTCOME_RETRY, "OBJECT_STORE_UNAVAILABLE")
        assert "parquet" in end.message


def test_an_expired_url_is_renewed_and_small_scratch_is_enough(tmp_path: Path) -> None:
    with worker_run.job(tmp_path) as trainer:
        trainer.store.answers = [403]
        assert worker_run.work(trainer, tmp_path / "scratch", shard_cache_bytes=1) is Exit.DONE
        assert len(trainer.losses()) == STEPS


def test_a_crash_is_told_and_may_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash() -> None:
        raise RuntimeError("cosmic ray")

    worker_run.at_step(monkeypatch, 2, crash)
    with worker_run.job(tmp_path) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.RETRY
        end = finished(trainer)
        assert (end.outcome, end.reason) == (worker_pb2.OUTCOME_RETRY, "WORKER_CRASHED")
        assert "cosmic ray" in end.message
        trace, said = trainer.logs[-2:]
        assert (trace.level, said.level) == ("error", "error")
        assert "in crash\n" in trace.message
        assert said.message == end.message


def test_trouble_that_was_answered_is_told_as_events_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [worker_data.row(index) for index in range(60)]
    rows[11] = worker_data.row(11, lambda _: "</s>")
    asked = worker_data.spec(
        hyperparameters={"batch_size": 16, "max_steps": 3},
        evaluation={"max_new_tokens": 2},
        loading={"batching": "BATCHING_PACKED", "on_bad_example": "ON_BAD_EXAMPLE_SKIP"},
    )
    enough = causal_lm.CausalLM.loss

    def short(self: causal_lm.CausalLM, model: torch.nn.Module, batch: causal_lm.Batch) -> Loss:
        if model.training and batch.examples > 8:
            torch.empty(2**50, dtype=torch.uint8)  # the allocator's own refusal
        return enough(self, model, batch)

    monkeypatch.setattr(causal_lm.CausalLM, "loss", short)
    with worker_run.job(tmp_path, asked, rows) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        told = {each.reason: each.message for each in trainer.notices}
        assert told.keys() == {"EXAMPLE_SKIPPED", "MEMORY_SHORT"}
        assert "'digit-0011' contains the text '</s>'" in told["EXAMPLE_SKIPPED"]
        assert "16 example(s)" in told["MEMORY_SHORT"]
        assert trainer.metrics[3]["pass_examples"] == 8
        assert trainer.metrics[3]["skipped_examples"] == 1
        assert sorted(trainer.losses()) == [1, 2, 3]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"VISIONTUNE_WORKER_ATTEMPT": "nonsense"},
            ["VISIONTUNE_WORKER_TRAINER_TARGET: Field required", "VISIONTUNE_WORKER_ATTEMPT: String should"],
        ),
        (
            {
                "VISIONTUNE_WORKER_ATTEMPT": "projects/p/trainingJobs/j/attempts/1",
                "VISIONTUNE_WORKER_TRAINER_TARGET": "127.0.0.1:1",
                "VISIONTUNE_WORKER_SCRATCH_DIR": "/nowhere",
            },
            ["set VISIONTUNE_WORKER_TOKEN"],
        ),
    ],
)
def test_without_its_environment_it_exits_78(given: dict[str, str], said: list[str]) -> None:
    environment = {"PATH": os.environ["PATH"], **given}
    done = subprocess.run(
        [sys.executable, "-m", "visiontune_worker"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == Exit.ENVIRONMENT
    assert all(each in done.stderr for each in said)
    assert "Traceback" not in done.stderr
