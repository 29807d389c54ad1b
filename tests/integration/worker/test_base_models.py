"""Where a training can start from, and what it leaves: each source, full and LoRA, in plain libraries."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard, constants
from peft import PeftConfig, PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor, LlavaForConditionalGeneration
from visiontune.worker.v1 import worker_pb2
from visiontune_recipes.spec import Spec
from visiontune_worker.faults import Exit

from tests.support import worker_data, worker_run
from tests.support.worker_layers import published, save_base, serve_layer

MODEL = "projects/p/models/digits"
SHORT = {"batch_size": 16, "max_steps": 3, "learning_rate": 0.01}
LORA = {"method": "METHOD_LORA"}


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out as a Hub snapshot, as `save_pretrained` writes it."""
    return save_base(tmp_path_factory.mktemp("models") / "base")


def lora_spec(base: dict[str, object], *, merged: bool = False, **adaptation: object) -> Spec:
    return worker_data.spec(
        base,
        adaptation={**LORA, **adaptation},
        hyperparameters=SHORT,
        evaluation={"max_new_tokens": 2, "sample_count": 2},
        publish={"merged": True} if merged else None,
    )


def plain_logits(model: Any, folder: Path) -> torch.Tensor:
    """What a user's own script would get for one example."""
    processor = AutoProcessor.from_pretrained(folder)  # type: ignore[no-untyped-call]  # transformers
    row: Any = worker_data.row(0)
    path = folder.parent / "picture.png"
    path.write_bytes(row["images"][0]["bytes"])
    content = [{"type": "image", "path": str(path)}, {"type": "text", "text": "\n" + worker_data.QUESTION}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    with torch.inference_mode():
        return torch.as_tensor(model.eval()(**inputs).logits)


def assert_card_runs(folder: Path) -> None:
    """In a process of its own, as its reader would."""
    code = (folder / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    row: Any = worker_data.row(0)
    (folder / "picture.png").write_bytes(row["images"][0]["bytes"])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_a_folder_below_the_allowed_roots_trains_by_lora(tmp_path: Path, snapshot: Path) -> None:
    with worker_run.job(tmp_path, lora_spec({"path": str(snapshot)}, merged=True)) as trainer:
        code = worker_run.work(trainer, tmp_path / "scratch", model_roots=str(snapshot.parent))
        assert code is Exit.DONE
        assert [each.artifact for each in trainer.finished[0].artifacts] == ["adapter", "merged"]
        folder = published(trainer, "adapter")
        base = LlavaForConditionalGeneration.from_pretrained(snapshot)
        untouched = plain_logits(base, folder)
        adapted = PeftModel.from_pretrained(base, str(folder))
        assert PeftConfig.from_pretrained(str(folder)).base_model_name_or_path == str(snapshot)
        # Adapter and projector are there, and they are all that the checkpoint holds as trained.
        trained = load_file(trainer.store.folder / "checkpoints/step-3/weights.safetensors")
        inner = dict(adapted.get_base_model().named_parameters())
        assert any("multi_modal_projector" in name for name in trained)
        assert all("language_model" in name or "multi_modal_projector" in name for name in trained)
        assert all(torch.equal(inner[name], value) for name, value in trained.items())
        logits = plain_logits(adapted, folder)
        assert not torch.equal(logits, untouched)
        merged = published(trainer, "merged")
        whole = LlavaForConditionalGeneration.from_pretrained(merged)
        assert torch.allclose(plain_logits(whole, merged), logits, atol=1e-5)
        assert not (merged / "adapter_config.json").exists()
        assert (merged / "generation_config.json").exists()
        assert_card_runs(merged)
        assert {"README.md", "adapter_config.json", "tokenizer.json"} <= {
            each.name for each in folder.iterdir()
        }


def test_every_attempt_loads_the_commit_that_the_first_one_did(
    tmp_path: Path, snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the cache of a machine that is offline."""
    first, second = "0123456789abcdef0123456789abcdef01234567", "f" * 40
    repository = tmp_path / "hub" / "models--owner--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(first)
    shutil.copytree(snapshot, repository / "snapshots" / first)
    (repository / "snapshots" / first / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# Tiny\n")
    (repository / "snapshots" / second).mkdir()
    (repository / "snapshots" / second / "config.json").write_text('{"model_type": "bert"}')
    # What the variables of these names say to a worker that starts.
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with worker_run.job(tmp_path, lora_spec({"hub": {"repo_id": "owner/tiny"}})) as trainer:
        for _ in range(2):
            assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE, trainer.finished
            assert trainer.base_revision == first
            folder = published(trainer, "adapter")
            config = PeftConfig.from_pretrained(str(folder))
            assert (config.base_model_name_or_path, config.revision) == ("owner/tiny", first)
            card = ModelCard.load(folder / "README.md")
            assert f'revision="{first}"' in card.text
            assert (card.data.base_model, card.data.license) == ("owner/tiny", "cc-by-4.0")
            assert f"revision: {first}" in (folder / "reproduce.yaml").read_text()
            # The branch moves on; the next attempt does not.
            (repository / "refs" / "main").write_text(second)
            trainer.next_attempt()


def test_a_registered_model_and_an_adapter_on_it_are_trained_further(tmp_path: Path, snapshot: Path) -> None:
    with worker_run.job(tmp_path / "first", lora_spec({"model": MODEL})) as first:
        serve_layer(first, snapshot, MODEL, is_adapter=False)
        assert worker_run.work(first, tmp_path / "scratch") is Exit.DONE
        adapter = published(first, "adapter")
        assert PeftConfig.from_pretrained(str(adapter)).base_model_name_or_path == MODEL
        tower = lora_spec({"model": "projects/p/models/second"}, vision_tower="PART_TRAIN")
        with worker_run.job(tmp_path / "second", tower) as second:
            serve_layer(second, snapshot, MODEL, is_adapter=False)
            serve_layer(second, adapter, "projects/p/models/second", is_adapter=True)
            assert worker_run.work(second, tmp_path / "scratch") is Exit.DONE
            # The second starts where the first ended.
            assert second.metrics_before["loss"] == pytest.approx(first.finished[0].metrics["loss"], rel=1e-3)
            names = load_file(published(second, "adapter") / "adapter_model.safetensors")
            assert any("vision_tower" in name and "lora_A" in name for name in names)


def test_an_adapter_that_does_not_fit_is_refused(tmp_path: Path, snapshot: Path) -> None:
    with worker_run.job(tmp_path / "first", lora_spec({"path": str(snapshot)})) as first:
        worker_run.work(first, tmp_path / "scratch", model_roots=str(snapshot.parent))
        adapter = published(first, "adapter")
        weights = load_file(adapter / "adapter_model.safetensors")
        weights.pop(next(name for name in weights if "lora_A" in name))
        save_file(weights, adapter / "adapter_model.safetensors")
        with worker_run.job(tmp_path / "second", lora_spec({"model": MODEL})) as second:
            serve_layer(second, snapshot, MODEL, is_adapter=False)
            serve_layer(second, adapter, "projects/p/models/broken", is_adapter=True)
            assert worker_run.work(second, tmp_path / "scratch") is Exit.CONFIGURATION
            assert second.finished[0].reason == "ADAPTER_DOES_NOT_FIT"


def test_a_frozen_tower_stays_as_it_was(tmp_path: Path, snapshot: Path) -> None:
    full = worker_data.spec(
        {"path": str(snapshot)},
        adaptation={"method": "METHOD_FULL"},
        hyperparameters=SHORT,
        evaluation={"max_new_tokens": 2},
    )
    with worker_run.job(tmp_path, full) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch", model_roots=str(snapshot.parent)) is Exit.DONE
        before = LlavaForConditionalGeneration.from_pretrained(snapshot).state_dict()
        after = LlavaForConditionalGeneration.from_pretrained(published(trainer, "model")).state_dict()
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert not any("vision_tower" in name for name in changed)
        assert any("multi_modal_projector" in name for name in changed)
        assert any("language_model" in name for name in changed)


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        ({"path": "/etc"}, "PATH_NOT_ALLOWED"),
        ({"path": "ROOT/../../etc"}, "PATH_NOT_ALLOWED"),
        ({"path": "ROOT/link"}, "PATH_NOT_ALLOWED"),
        ({"path": "ROOT/absent"}, "BASE_MODEL_NOT_FOUND"),
        ({"path": "ROOT/empty"}, "BASE_MODEL_NOT_LOADABLE"),
        ({"path": "ROOT/bert"}, "UNKNOWN_FAMILY"),
        ({"model": MODEL}, "BASE_MODEL_NOT_FOUND"),
    ],
)
def test_a_base_model_that_cannot_be_had_is_a_matter_of_configuration(
    tmp_path: Path, base: dict[str, object], reason: str
) -> None:
    root = tmp_path / "roots"
    (root / "empty").mkdir(parents=True)
    (root / "link").symlink_to("/etc")
    (root / "bert").mkdir()
    (root / "bert" / "config.json").write_text('{"model_type": "bert"}')
    asked: dict[str, object] = {key: str(value).replace("ROOT", str(root)) for key, value in base.items()}
    with worker_run.job(tmp_path, lora_spec(asked)) as trainer:
        code = worker_run.work(trainer, tmp_path / "scratch", model_roots=str(root))
        assert code is Exit.CONFIGURATION
        assert (trainer.finished[0].outcome, trainer.finished[0].reason) == (
            worker_pb2.OUTCOME_FAILED,
            reason,
        )


def test_a_target_that_matches_nothing_is_named(tmp_path: Path, snapshot: Path) -> None:
    spec = lora_spec({"path": str(snapshot)}, lora={"target_modules": "nothing"})
    with worker_run.job(tmp_path, spec) as trainer:
        code = worker_run.work(trainer, tmp_path / "scratch", model_roots=str(snapshot.parent))
        assert code is Exit.CONFIGURATION
        assert trainer.finished[0].reason == "NO_MODULE_TO_ADAPT"


def test_an_accelerator_that_is_not_there_is_a_matter_of_the_environment(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    with worker_run.job(tmp_path, worker_data.spec(resources={"accelerator_count": 1})) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.ENVIRONMENT
        assert trainer.finished[0].reason == "NO_ACCELERATOR"
        assert "METHOD_LORA" in trainer.finished[0].message


def change(row: dict[str, Any], **fields: object) -> dict[str, object]:
    return {**row, **fields}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "hm"}]}]}, "NO_ANSWER"),
        ({"images": []}, "IMAGE_MISSING"),
        ({"images": [{"bytes": b"no picture", "path": "x.png"}]}, "IMAGE_BROKEN"),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "text", "text": "a </s> b"}]}]},
            "SPECIAL_TOKEN_IN_TEXT",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "text", "text": "word " * 9000}]}]},
            "EXAMPLE_TOO_LONG",
        ),
    ],
)
def test_an_example_that_cannot_be_trained_on_is_named(
    tmp_path: Path, fields: dict[str, object], reason: str
) -> None:
    rows = [worker_data.row(index) for index in range(10)]
    rows[3] = change(rows[3], **fields)
    with worker_run.job(tmp_path, rows=rows) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DATA
        end = trainer.finished[0]
        assert (end.outcome, end.reason) == (worker_pb2.OUTCOME_FAILED, reason)
        assert "digit-0003" in end.message
