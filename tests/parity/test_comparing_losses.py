"""Families that compare, side by side with what anyone would write with transformers: the same losses."""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from visiontune_recipes.families import FAMILIES
from visiontune_recipes.resolve import resolve
from visiontune_recipes.spec import Spec
from visiontune_worker import build, loop, objectives
from visiontune_worker.data import Examples, plan
from visiontune_worker.order import Order

from tests.support import pairs, worker_data
from tests.support.families import preset_of

STEPS = 10
COMPARING = [name for name, each in FAMILIES.items() if each.objective in ("contrastive", "late_interaction")]
Rows = Sequence[dict[str, Any]]


def captions(rows: Rows) -> list[str]:
    return [row["texts"][0] for row in rows]


def contrastive_loss(model: Any, processor: Any, rows: Rows) -> Tensor:
    """What the model itself returns."""
    padding = "max_length" if model.config.model_type == "siglip" else True
    given = processor(text=captions(rows), images=pairs.pictures(rows), padding=padding, return_tensors="pt")
    if model.config.model_type == "flava":
        # Its own loss asks for masked texts and images, too; this is the part of it that compares.
        texts = model.flava.get_text_features(given["input_ids"], given["attention_mask"]).pooler_output[:, 0]
        images = model.flava.get_image_features(given["pixel_values"]).pooler_output[:, 0]
        vectors = [functional.normalize(each, dim=-1) for each in (images, texts)]
        by_image, by_text, labels = model.global_contrastive_head(*vectors, model.flava.logit_scale)
        return (functional.cross_entropy(by_image, labels) + functional.cross_entropy(by_text, labels)) / 2
    found: Tensor = model(**given, return_loss=True).loss
    return found


def late_interaction_loss(model: Any, processor: Any, rows: Rows) -> Tensor:
    """Scores as the processor's own `score_retrieval` has them, per token of the query, and cross-entropy."""

    def embedded(given: Any) -> tuple[list[Tensor], Tensor]:
        given.pop("labels", None)
        mask = given["attention_mask"].bool()
        return [row[kept] for row, kept in zip(model(**given).embeddings, mask, strict=True)], mask.sum(dim=1)

    queries, lengths = embedded(processor.process_queries(text=captions(rows)))
    documents, _ = embedded(processor.process_images(images=pairs.pictures(rows)))
    scores = torch.stack(
        [torch.stack([(q @ d.T).max(dim=1).values.sum() for d in documents]) for q in queries]
    )
    loss = functional.cross_entropy(scores / lengths[:, None] / 0.02, torch.arange(len(rows)))
    negatives = pairs.pictures(rows, "negatives")
    if not negatives:
        return loss
    wrong, _ = embedded(processor.process_images(images=negatives))
    owners = [number for number, row in enumerate(rows) for _ in row["negatives"]]
    ahead = [
        ((queries[owner] @ each.T).max(dim=1).values.sum() - scores[owner, owner]) / lengths[owner] / 0.02
        for owner, each in zip(owners, wrong, strict=True)
    ]
    return (loss + functional.softplus(torch.stack(ahead)).mean()) / 2


def plain_losses(model: Any, processor: Any, steps: Sequence[Rows], spec: Spec) -> list[float]:
    """A loop without VisionTune: transformers, AdamW, and open_clip's bounds of the temperature."""
    numbers = spec.hyperparameters
    late = model.config.model_type.startswith("col")
    loss_of = late_interaction_loss if late else contrastive_loss
    trainable = [each for each in model.parameters() if each.requires_grad]
    decays, stays = ([each for each in trainable if (each.ndim >= 2) is two] for two in (True, False))
    groups: list[dict[str, Any]] = [
        {"params": decays, "weight_decay": numbers.weight_decay},
        {"params": stays, "weight_decay": 0.0},
    ]
    made = torch.optim.AdamW(groups, lr=numbers.learning_rate or 0)
    warmup = round((numbers.warmup_ratio or 0) * 100)
    losses = []
    model.train()
    for step, rows in enumerate(steps):
        for group in made.param_groups:
            group["lr"] = (numbers.learning_rate or 0) * (step + 1) / (warmup + 1)
        loss = loss_of(model, processor, rows)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trainable, numbers.max_grad_norm or 1.0)
        made.step()
        made.zero_grad()
        # As open_clip's loop does. SigLIP without weights begins at the bound, and would leave it.
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith("logit_scale"):
                parameter.data.clamp_(0, math.log(100))
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("passes", [1, 4])
@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=() if each == "clip" else pytest.mark.slow) for each in COMPARING]
)
def test_the_first_ten_losses_are_those_of_a_plain_loop(tmp_path: Path, name: str, passes: int) -> None:
    family = FAMILIES[name]
    # Captions and queries that no other example has: what resembles each other is left out by us alone.
    rows = [pairs.unlike(index) for index in range(200)]
    if family.objective == "late_interaction":
        rows = [{**row, "negatives": pairs.page(index, 2)["negatives"]} for index, row in enumerate(rows)]
    manifest = worker_data.write_shards(tmp_path / "data", rows)
    numbers = {"batch_size": 16 // passes, "gradient_accumulation_steps": passes, "learning_rate": 1e-3}
    asked = worker_data.spec({"preset": preset_of(family).name}, hyperparameters=numbers)
    spec = resolve(asked, manifest.facts)
    shards = worker_data.local_shards(manifest, tmp_path / "data", tmp_path / "scratch")
    built = build.build(spec, build.Sources(texts=shards.texts("train")))
    order = Order(shards.counts("train"), 16 // passes, passes, seed=7)
    places = order.epoch(0)
    train = [row for row in rows if row["split"] == "train"]
    steps = [
        [train[nth] for batch in order.batches(places, step) for _, nth in batch] for step in range(STEPS)
    ]

    plain = plain_losses(copy.deepcopy(built.model), built.processor, steps, spec)
    objective = objectives.of(built, spec)
    training = loop.Training(built, objective, spec.hyperparameters, order, total_steps=100)
    built.train()
    examples = Examples(shards, "train", objective, cache_bytes=10**8)
    ours = [
        training.advance(batches).loss.item()
        for batches in map(examples.batches, plan(shards, order, start=0, stop=STEPS))
    ]

    assert ours == pytest.approx(plain, abs=1e-4)
    assert plain[-1] < plain[0]
