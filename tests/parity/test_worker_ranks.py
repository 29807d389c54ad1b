"""Several processes train what one does: the same losses, checkpoints that fit either, one end for all.

The losses are equal to 1e-5 and not to the bit, since the ranks add up the gradient's terms in another order.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch._C._distributed_c10d import TCPStore
from transformers import LlavaForConditionalGeneration
from visiontune.worker.v1 import worker_pb2
from visiontune_worker.faults import Exit, Preempted
from visiontune_worker.interrupts import Interrupts

from tests.support import worker_data, worker_run
from tests.support.worker_layers import published, save_base
from tests.support.worker_service import Trainer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
# 97 of them to train on, 16 a step: the last step of an epoch has one, so that a rank has none.
ROWS = 122
STEPS = 14
KILLED = 137


@contextmanager
def job(folder: Path, rows: list[dict[str, Any]] | None = None, **fields: Any) -> Iterator[Trainer]:
    asked = worker_data.spec(
        hyperparameters={"batch_size": 8, "gradient_accumulation_steps": 2, "epochs": 2},
        evaluation={"max_new_tokens": 2},
        **fields,
    )
    rows = rows or [worker_data.row(index) for index in range(ROWS)]
    with worker_run.job(folder, asked, rows) as trainer:
        yield trainer


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, float]]:
    """What one process measured at each step."""
    folder = tmp_path_factory.mktemp("alone")
    with job(folder) as trainer:
        assert worker_run.work(trainer, folder / "scratch") is Exit.DONE
        return trainer.metrics


def ranks(trainer: Trainer, folder: Path, at: str = "", nodes: int = 1, **variables: str) -> set[int]:
    """Runs two ranks to their end; returns the exit codes of their pods. Nobody may hang."""
    launchers = worker_run.start_ranks(trainer, folder, nodes, VISIONTUNE_TEST_AT=at, **variables)
    try:
        return {each.wait(timeout=600) for each in launchers}
    finally:
        for each in launchers:
            each.terminate()
            each.wait(timeout=60)


def losses(metrics: dict[int, dict[str, float]], most: int = STEPS) -> list[float]:
    return [metrics[step]["loss"] for step in range(1, most + 1)]


def ending(trainer: Trainer) -> worker_pb2.FinishAttemptRequest:
    assert len(trainer.finished) == 1
    return trainer.finished[0]


def test_two_nodes_measure_what_one_process_measures(
    tmp_path: Path, alone: dict[int, dict[str, float]]
) -> None:
    with job(tmp_path) as trainer:
        assert ranks(trainer, tmp_path, nodes=2) == {0}
        assert losses(trainer.metrics) == pytest.approx(losses(alone), abs=1e-5)
        for step in (STEPS // 2, STEPS):
            for name in ("grad_norm", "eval_loss", "eval_exact_match", "eval_token_accuracy"):
                assert trainer.metrics[step][name] == pytest.approx(alone[step][name], abs=1e-5), name
        assert ending(trainer).outcome == worker_pb2.OUTCOME_SUCCEEDED
        assert (trainer.claims, sorted(trainer.checkpoints)) == (1, [STEPS // 2, STEPS])
    assert not (tmp_path / "scratch").exists()


def test_sigterm_to_one_rank_saves_on_rank_0_and_one_process_goes_on(
    tmp_path: Path, alone: dict[int, dict[str, float]]
) -> None:
    with job(tmp_path) as trainer:
        assert ranks(trainer, tmp_path, at="1:5:SIGTERM") == {Exit.RETRY}
        assert worker_run.exit_codes(tmp_path) == {0: Exit.RETRY, 1: Exit.RETRY}
        assert (ending(trainer).outcome, ending(trainer).reason) == (worker_pb2.OUTCOME_RETRY, "PREEMPTED")
        assert ending(trainer).message.startswith("Rank 1 (")
        assert sorted(trainer.checkpoints) == [5]
        trainer.finished.clear()
        trainer.next_attempt()
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        assert losses(trainer.metrics) == pytest.approx(losses(alone), abs=1e-5)


def test_two_ranks_go_on_from_one_process_until_the_pod_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: dict[int, dict[str, float]]
) -> None:
    interrupts = Interrupts()
    worker_run.at_step(monkeypatch, 4, lambda: interrupts.hear(Preempted("the test")))
    with job(tmp_path) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch", interrupts) is Exit.RETRY
        assert sorted(trainer.checkpoints) == [4]
        trainer.finished.clear()
        trainer.next_attempt()
        assert ranks(trainer, tmp_path, at="0:9:launcher") == {Exit.RETRY}
        assert worker_run.exit_codes(tmp_path) == {0: Exit.RETRY, 1: Exit.RETRY}
        stopped_at = max(trainer.checkpoints)
        assert stopped_at >= 9
        assert ending(trainer).reason == "PREEMPTED"
        assert losses(trainer.metrics, stopped_at) == pytest.approx(losses(alone, stopped_at), abs=1e-5)


SHARDED = {"sharding": "SHARDING_FULL"}


def test_ranks_with_a_part_of_the_weights_each_measure_what_one_process_measures(
    tmp_path: Path, alone: dict[int, dict[str, float]]
) -> None:
    with job(tmp_path, resources=SHARDED) as trainer:
        assert ranks(trainer, tmp_path) == {0}
        assert losses(trainer.metrics) == pytest.approx(losses(alone), abs=1e-5)
        for step in (STEPS // 2, STEPS):
            for name in ("grad_norm", "eval_loss", "eval_exact_match", "eval_token_accuracy"):
                assert trainer.metrics[step][name] == pytest.approx(alone[step][name], abs=1e-5), name
        assert ending(trainer).outcome == worker_pb2.OUTCOME_SUCCEEDED
        folder = trainer.store.folder
        model = LlavaForConditionalGeneration.from_pretrained(folder / "artifacts" / "model")
        trained = load_file(folder / f"checkpoints/step-{STEPS}/weights.safetensors")
    assert all(torch.equal(each, trained[name]) for name, each in model.state_dict().items())
    # As anybody's config says, and not as the class is called that FSDP makes of it.
    assert model.config.architectures == ["LlavaForConditionalGeneration"]


def test_adapters_beside_divided_weights_are_merged_into_whole_ones(tmp_path: Path) -> None:
    base = save_base(tmp_path / "models" / "base")
    asked = worker_data.spec(
        {"path": str(base)},
        adaptation={"method": "METHOD_LORA"},
        hyperparameters={"batch_size": 8, "max_steps": 2, "learning_rate": 0.01},
        evaluation={"max_new_tokens": 2},
        resources=SHARDED,
        publish={"merged": True},
    )
    with worker_run.job(tmp_path, asked) as trainer:
        assert ranks(trainer, tmp_path, VISIONTUNE_WORKER_MODEL_ROOTS=str(base.parent)) == {0}
        adapter, merged = published(trainer, "adapter"), published(trainer, "merged")
        whole = LlavaForConditionalGeneration.from_pretrained(merged)
        adapted = PeftModel.from_pretrained(LlavaForConditionalGeneration.from_pretrained(base), str(adapter))
    expected = adapted.merge_and_unload().state_dict()
    untouched = LlavaForConditionalGeneration.from_pretrained(base).state_dict()
    assert any(not torch.equal(each, untouched[name]) for name, each in whole.state_dict().items())
    assert all(torch.allclose(each, expected[name], atol=1e-6) for name, each in whole.state_dict().items())


def test_a_pause_that_one_rank_hears_saves_on_all_and_one_process_goes_on(
    tmp_path: Path, alone: dict[int, dict[str, float]]
) -> None:
    with job(tmp_path, resources=SHARDED) as trainer:
        assert ranks(trainer, tmp_path, at="0:5:pause") == {Exit.DONE}
        assert worker_run.exit_codes(tmp_path) == {0: Exit.DONE, 1: Exit.DONE}
        assert ending(trainer).outcome == worker_pb2.OUTCOME_PAUSED
        assert sorted(trainer.checkpoints) == [5]
        trainer.finished.clear()
        trainer.next_attempt()
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        assert losses(trainer.metrics) == pytest.approx(losses(alone), abs=1e-5)


def test_a_checkpoint_of_divided_weights_fits_one_process_and_one_of_whole_weights_divided_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: dict[int, dict[str, float]]
) -> None:
    with job(tmp_path, resources=SHARDED) as trainer:
        assert ranks(trainer, tmp_path, at="1:3:SIGTERM") == {Exit.RETRY}
        interrupts = Interrupts()
        worker_run.at_step(monkeypatch, 6, lambda: interrupts.hear(Preempted("the test")))
        trainer.finished.clear()
        trainer.next_attempt()
        assert worker_run.work(trainer, tmp_path / "scratch", interrupts) is Exit.RETRY
        assert sorted(trainer.checkpoints) == [3, 6]
        trainer.finished.clear()
        trainer.next_attempt()
        assert ranks(trainer, tmp_path) == {0}
        assert losses(trainer.metrics) == pytest.approx(losses(alone), abs=1e-5)


@pytest.mark.parametrize("resources", [{}, SHARDED])
def test_passes_without_images_on_one_rank_alone_hold_nobody_up(
    tmp_path: Path, resources: dict[str, str]
) -> None:
    """The whole model trains, and nine of ten examples are text alone: most often one rank sees no image."""
    rows: list[dict[str, Any]] = [worker_data.row(index) for index in range(ROWS)]
    for index, row in enumerate(rows):
        if index % 10:
            row["images"] = []
            row["messages"][0]["content"] = row["messages"][0]["content"][1:]
    with job(tmp_path / "one", rows) as trainer:
        assert worker_run.work(trainer, tmp_path / "one" / "scratch") is Exit.DONE
        wanted = losses(trainer.metrics)
    with job(tmp_path / "two", rows, resources=resources) as trainer:
        assert ranks(trainer, tmp_path / "two") == {0}
        assert losses(trainer.metrics) == pytest.approx(wanted, abs=1e-5)


def test_a_rank_that_is_killed_ends_the_other_which_says_who(tmp_path: Path) -> None:
    with job(tmp_path) as trainer:
        assert ranks(trainer, tmp_path, at="1:3:SIGKILL", nodes=2) == {Exit.RETRY, KILLED}
        assert worker_run.exit_codes(tmp_path) == {0: Exit.RETRY}
        assert (ending(trainer).outcome, ending(trainer).reason) == (worker_pb2.OUTCOME_RETRY, "RANK_LOST")
        assert ending(trainer).message.startswith("Rank 1 (")


def test_a_rank_in_a_call_that_does_not_return_is_ended_and_the_trainer_told(tmp_path: Path) -> None:
    with job(tmp_path) as trainer:
        # As NCCL does when a peer is gone: rank 0 never comes back from step 3.
        assert ranks(trainer, tmp_path, at="0:3:hang,1:3:SIGKILL", nodes=2) == {Exit.RETRY, KILLED}
        assert (ending(trainer).outcome, ending(trainer).reason) == (worker_pb2.OUTCOME_RETRY, "RANK_LOST")
    assert not (tmp_path / "scratch" / "rank-0").exists()


@pytest.mark.parametrize(
    ("what", "code", "reason"),
    [
        ("memory", Exit.ENVIRONMENT, "OUT_OF_MEMORY"),
        ("ConfigurationFault", Exit.CONFIGURATION, "FROM_A_TEST"),
        ("DataFault", Exit.DATA, "FROM_A_TEST"),
    ],
)
def test_a_fault_of_one_rank_is_told_with_its_number_and_by_the_pods_exit_code(
    tmp_path: Path, what: str, code: Exit, reason: str
) -> None:
    with job(tmp_path) as trainer:
        assert ranks(trainer, tmp_path, at=f"1:3:{what}") == {code}
        assert worker_run.exit_codes(tmp_path) == {0: code, 1: code}
        assert (ending(trainer).outcome, ending(trainer).reason) == (worker_pb2.OUTCOME_FAILED, reason)
        assert ending(trainer).message.startswith("Rank 1 (")


def test_without_its_other_rank_rank_0_gives_up_and_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    for name, value in {
        "RANK": "0",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }.items():
        monkeypatch.setenv(name, value)
    with job(tmp_path) as trainer:
        started = time.monotonic()
        assert worker_run.work(trainer, tmp_path / "scratch", patience_s=2.0) is Exit.RETRY
        assert time.monotonic() - started < 60
        assert ending(trainer).reason == "RANK_MISSING"
        assert "2 s: 1." in ending(trainer).message
