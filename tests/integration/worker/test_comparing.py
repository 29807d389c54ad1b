"""Jobs that compare texts with images, from claim to result: measured, shown, published, learnt."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from visiontune.worker.v1 import worker_pb2
from visiontune_recipes.objectives import OBJECTIVES
from visiontune_worker.faults import Exit

from tests.support import pairs, worker_data, worker_run
from tests.support.worker_service import Trainer

STEPS = 6


def asked(preset: str, **numbers: Any) -> Any:
    given = {"batch_size": 16, "epochs": 1, **numbers}
    return worker_data.spec({"preset": preset}, hyperparameters=given, evaluation={"sample_count": 4})


def reloaded(name: str, folder: Path, trainer: Trainer) -> Any:
    """The published model in plain transformers: that of the last checkpoint."""
    model = getattr(transformers, name).from_pretrained(folder)
    step = max(trainer.checkpoints)
    trained = load_file(trainer.store.folder / f"checkpoints/step-{step}/weights.safetensors")
    assert all(torch.equal(each, trained[key]) for key, each in model.state_dict().items())
    return model.eval()


def test_captions_are_trained_on_measured_and_shown(tmp_path: Path) -> None:
    rows = [pairs.captioned(index, *pairs.CAPTIONS) for index in range(120)]
    with worker_run.job(tmp_path, asked("tiny-clip"), rows) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        end = trainer.finished[0]
        assert end.outcome == worker_pb2.OUTCOME_SUCCEEDED
        assert set(end.metrics) == set(OBJECTIVES["contrastive"].metrics)
        assert end.metrics["loss"] < trainer.metrics_before["loss"]
        assert "eval_image_to_text_recall_at_1" in trainer.metrics[STEPS]
        sample = trainer.samples[0]
        assert sample.prompt == "<image>"
        assert sample.expected == "a handwritten zero; the digit zero; zero, as somebody wrote it"
        for answer in (sample.before, sample.after):
            assert [each[:3] for each in answer.split("; ")] == ["1. ", "2. ", "3. "]
        folder = trainer.store.folder / "artifacts" / "model"
        assert_finds_captions(reloaded("CLIPModel", folder, trainer), folder, rows, sample.after)
        assert "image_to_text_recall_at_1" in (folder / "README.md").read_text()


def assert_finds_captions(model: Any, folder: Path, rows: list[dict[str, Any]], shown: str) -> None:
    """Plain transformers rank a held-out scan's captions as the sample says."""
    processor: Any = transformers.AutoProcessor.from_pretrained(folder)  # type: ignore[no-untyped-call]
    held_out = [text for row in rows if row["split"] == "validation" for text in row["texts"]]
    texts = list(dict.fromkeys(held_out))
    [image] = pairs.pictures(rows[:1])
    with torch.inference_mode():
        given = processor(text=texts, images=image, padding=True, return_tensors="pt")
        likeliest = model(**given).logits_per_image[0].topk(3).indices.tolist()
    assert shown == "; ".join(f"{place}. {texts[each]}" for place, each in enumerate(likeliest, start=1))


def test_queries_with_negatives_are_trained_on_measured_and_shown(tmp_path: Path) -> None:
    rows = [pairs.page(index, negatives=index % 3) for index in range(120)]
    with worker_run.job(tmp_path, asked("tiny-colqwen2", learning_rate=1e-3), rows) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        end = trainer.finished[0]
        assert set(end.metrics) == set(OBJECTIVES["late_interaction"].metrics)
        sample = trainer.samples[0]
        assert (sample.prompt, sample.expected) == ("Where is a zero?", "scans/0.png")
        assert sample.after.startswith("1. scans/")
        folder = trainer.store.folder / "artifacts" / "model"
        model = reloaded("ColQwen2ForRetrieval", folder, trainer)
        processor: Any = transformers.AutoProcessor.from_pretrained(folder)  # type: ignore[no-untyped-call]
        held_out = [row for row in rows if row["split"] == "validation"]
        with torch.inference_mode():
            queries = model(**processor.process_queries(text=[sample.prompt])).embeddings
            images = pairs.pictures(held_out)
            found = model(**processor.process_images(images=images)).embeddings
            best = int(processor.score_retrieval(queries, found)[0].argmax())
        negatives = {image["path"] for row in held_out for image in row["negatives"]}
        [likeliest, *_] = sample.after.removeprefix("1. ").split("; ")
        assert likeliest == held_out[best]["images"][0]["path"] or likeliest in negatives


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"texts": []}, "NOTHING_TO_PAIR"),
        ({"texts": ["seven " * 200]}, "EXAMPLE_TOO_LONG"),
        ({"texts": ["a <|endoftext|> seven"]}, "SPECIAL_TOKEN_IN_TEXT"),
        ({"images": [{"bytes": b"no image", "path": "a.png"}]}, "IMAGE_BROKEN"),
    ],
)
def test_an_example_that_cannot_be_compared_is_named(
    tmp_path: Path, row: Mapping[str, Any], reason: str
) -> None:
    rows: list[dict[str, Any]] = [pairs.captioned(index) for index in range(8)]
    rows[0] = {**rows[0], **row}
    with worker_run.job(tmp_path, asked("tiny-clip"), rows, shards=1) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DATA
        assert trainer.finished[0].reason == reason
        assert "scan-0000" in trainer.finished[0].message


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("preset", "metric", "least"),
    [("tiny-clip", "image_to_text_recall_at_1", 0.9), ("tiny-siglip", "image_to_text_recall_at_1", 0.6)],
)
def test_captions_of_scans_that_it_never_saw_are_found(
    tmp_path: Path, preset: str, metric: str, least: float
) -> None:
    rows = [pairs.captioned(index, *pairs.CAPTIONS) for index in range(1797)]
    with worker_run.job(tmp_path, asked(preset, batch_size=64, epochs=12), rows) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        print(preset, dict(trainer.metrics_before), dict(trainer.finished[0].metrics))
        # One of ten digits, whichever caption: 10 % by chance.
        assert trainer.metrics_before[metric] < 0.3
        assert trainer.finished[0].metrics[metric] > least


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("preset", ["tiny-colqwen2", "tiny-colpali"])
def test_a_query_finds_scans_that_it_never_saw(tmp_path: Path, preset: str) -> None:
    rows = [pairs.page(index, negatives=1) for index in range(1000)]
    with worker_run.job(tmp_path, asked(preset, batch_size=32, epochs=8), rows) as trainer:
        assert worker_run.work(trainer, tmp_path / "scratch") is Exit.DONE
        print(preset, dict(trainer.metrics_before), dict(trainer.finished[0].metrics))
        # Far below 1 at best: a scan that is one query's negative may be what another one asks for.
        assert trainer.finished[0].metrics["ndcg_at_5"] > trainer.metrics_before["ndcg_at_5"] + 0.3
