"""A training that goes on from an adapter, or from the checkpoint of an earlier job."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from peft import PeftConfig, PeftModel
from safetensors.torch import load_file
from transformers import LlavaForConditionalGeneration
from visiontune.trainer.v1 import trainer_pb2
from visiontune_recipes.spec import Spec
from visiontune_worker.faults import Exit

from tests.support import worker_data, worker_run
from tests.support.worker_layers import published, save_base, serve_layer
from tests.support.worker_service import Trainer

ADAPTER = "projects/p/models/adapter"
CHECKPOINT = "projects/p/trainingJobs/earlier/checkpoints/step-6"
# 96 examples: 6 steps an epoch. The rate stays, so that the length of a job changes no step of it.
CONSTANT = {"batch_size": 16, "schedule": "SCHEDULE_CONSTANT", "warmup_ratio": 0}
EVALUATION = {"max_new_tokens": 2, "sample_count": 2, "max_examples": 4}


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("models") / "base")


def spec(base: Mapping[str, object], numbers: Mapping[str, object], **fields: object) -> Spec:
    return worker_data.spec(
        {**base}, hyperparameters={**CONSTANT, **numbers}, evaluation=EVALUATION, **fields
    )


def work(trainer: Trainer, folder: Path, roots: Path | None = None) -> Exit:
    return worker_run.work(trainer, folder / "scratch", model_roots=str(roots.parent) if roots else "")


def test_an_adapter_on_a_folder_is_merged_or_trained_further_as_the_same_adapter(
    tmp_path: Path, snapshot: Path
) -> None:
    lora = {"method": "METHOD_LORA", "lora": {"rank": 4}}
    short: dict[str, object] = {"max_steps": 2, "learning_rate": 0.01}
    with worker_run.job(tmp_path / "first", spec({"path": str(snapshot)}, short, adaptation=lora)) as first:
        assert work(first, tmp_path, snapshot) is Exit.DONE
        adapter = published(first, "adapter")
        before = load_file(adapter / "adapter_model.safetensors")
    onto = trainer_pb2.BaseModel(path=str(snapshot))
    for adaptation in ({"continue_adapter": True}, {"method": "METHOD_LORA", "lora": {"rank": 2}}):
        name = "continued" if "continue_adapter" in adaptation else "merged"
        asked = spec({"model": ADAPTER}, short, adaptation=adaptation)
        with worker_run.job(tmp_path / name, asked) as second:
            serve_layer(second, adapter, ADAPTER, is_adapter=True)
            second.adapter_base = onto
            assert work(second, tmp_path, snapshot) is Exit.DONE, second.finished
            # Both start where the first ended.
            assert second.metrics_before["loss"] == pytest.approx(first.finished[0].metrics["loss"], 1e-3)
            found = published(second, "adapter")
            config = PeftConfig.from_pretrained(str(found))
            weights = load_file(found / "adapter_model.safetensors")
            card = (found / "README.md").read_text()
        if name == "merged":
            assert config.base_model_name_or_path == ADAPTER
            assert f"visiontune models download {ADAPTER} --to base-model" in card
            continue
        # One adapter, of the same shape, for the same base, that learnt something.
        assert config.base_model_name_or_path == str(snapshot)
        assert {key: each.shape for key, each in weights.items()} == {
            key: each.shape for key, each in before.items()
        }
        assert not all(torch.equal(weights[key], before[key]) for key in before)
        assert f'base = "{snapshot}"' in card
        PeftModel.from_pretrained(LlavaForConditionalGeneration.from_pretrained(snapshot), str(found))


def serve_checkpoint(trainer: Trainer, of: Trainer, step: int) -> None:
    """What the trainer hands over before the job has a checkpoint of its own."""
    trainer.earlier = (step, of.checkpoints[step])


@pytest.mark.parametrize(
    "optimiser", ["OPTIMISER_ADAMW", pytest.param("OPTIMISER_ADAFACTOR", marks=pytest.mark.slow)]
)
def test_more_epochs_go_on_as_if_there_had_been_no_end(tmp_path: Path, optimiser: str) -> None:
    preset: dict[str, object] = {"preset": "tiny-llava"}
    numbers = {"optimiser": optimiser, "learning_rate": 1e-3}
    with worker_run.job(tmp_path / "whole", spec(preset, {**numbers, "epochs": 2})) as whole:
        assert work(whole, tmp_path) is Exit.DONE
        expected = whole.losses()
    with worker_run.job(tmp_path / "first", spec(preset, {**numbers, "epochs": 1})) as first:
        assert work(first, tmp_path) is Exit.DONE
        resume = {"checkpoint": CHECKPOINT, "step": 6, "data_start_step": 0}
        asked = spec(preset, {**numbers, "epochs": 2}, resume_from=resume)
        with worker_run.job(tmp_path / "second", asked) as second:
            serve_checkpoint(second, first, 6)
            assert work(second, tmp_path) is Exit.DONE
            assert {**first.losses(), **second.losses()} == expected
            assert sorted(second.losses()) == [7, 8, 9, 10, 11, 12]
            # What was measured before is the model as the earlier job left it.
            assert second.metrics_before == pytest.approx(dict(first.finished[0].metrics))
            assert [sample.after_step for sample in second.samples] == [12, 12]


def test_other_data_are_passed_over_from_their_beginning_while_steps_count_on(tmp_path: Path) -> None:
    preset: dict[str, object] = {"preset": "tiny-llava"}
    with worker_run.job(tmp_path / "first", spec(preset, {"epochs": 1})) as first:
        assert work(first, tmp_path) is Exit.DONE
        rows = [worker_data.row(index) for index in range(200, 240)]  # 32 examples: 2 steps an epoch
        resume = {"checkpoint": CHECKPOINT, "step": 6, "data_start_step": 6}
        asked = spec(preset, {"epochs": 2}, resume_from=resume, checkpointing={"every_steps": 3})
        with worker_run.job(tmp_path / "second", asked, rows) as second:
            serve_checkpoint(second, first, 6)
            assert work(second, tmp_path) is Exit.DONE
            assert sorted(second.losses()) == [7, 8, 9, 10]
            last = second.progress[-1]
            assert (last.step, last.total_steps, last.epoch) == (10, 10, 2.0)
            losses = second.losses()
            # An attempt that goes on from a checkpoint of the job itself is in the same place.
            del second.checkpoints[10]
            assert list(second.checkpoints) == [9]
            second.next_attempt()
            assert work(second, tmp_path) is Exit.DONE
            assert second.losses() == losses
