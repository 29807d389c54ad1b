"""What holds for every family of the table, from its first day, shown on its smallest preset."""

import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import PeftModel
from visiontune_recipes.facts import DatasetFacts
from visiontune_recipes.families import FAMILIES, Family
from visiontune_recipes.presets import PRESETS
from visiontune_recipes.resolve import resolve
from visiontune_recipes.spec import Method
from visiontune_worker import build
from visiontune_worker.objectives.causal_lm import Batch
from visiontune_worker.shards import Example

from tests.support import worker_data

PARTS = ("vision_tower", "projector", "language_model")
pytestmark = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES.keys())


def built(family: Family, *trains: str, method: Method = Method.FULL) -> build.Built:
    """The family's smallest preset, of which these parts train."""
    presets = [preset for preset in PRESETS.values() if preset.family == family.name]
    smallest = min(presets, key=lambda preset: preset.parameter_count)
    parts = {part: "PART_TRAIN" if part in trains else "PART_FREEZE" for part in PARTS}
    asked = worker_data.spec({"preset": smallest.name}, adaptation={"method": method, **parts})
    spec = resolve(asked, DatasetFacts(frozenset(), {"train": 1}))
    return build.build(spec, build.Sources(texts=worker_data.texts()))


@cache
def whole(family: Family) -> build.Built:
    return built(family, *PARTS)


def objective(family: Family) -> Any:
    return import_module(f"visiontune_worker.objectives.{family.objective}")


def batch(family: Family, made: build.Built) -> Batch:
    """Two examples of different length, as the objective takes them."""
    rows: list[Any] = [worker_data.row(0), worker_data.row(1, question="Which digit, in one word?")]
    examples = [
        Example(row["id"], row["id"], [image["bytes"] for image in row["images"]], row["messages"])
        for row in rows
    ]
    encoder = objective(family).Encoder(made.processor, max_length=200, stop_ids=made.stop_ids)
    collated: Batch = objective(family).collate(encoder.encode(examples), made.pad_id)
    return collated


def skip_without_adapters(family: Family) -> None:
    if Method.LORA not in family.methods:
        pytest.skip(f"{family.name} takes no adapters")


def logits(model: Any, given: Batch) -> torch.Tensor:
    with torch.inference_mode():
        return torch.as_tensor(model.eval()(**given.inputs).logits)


def model_class(family: Family) -> Any:
    return getattr(transformers, family.model_class.partition(":")[2])


def test_every_weight_belongs_to_a_part_and_every_part_has_some(family: Family) -> None:
    model = whole(family).model
    assert model.config.model_type in family.model_types
    assert {family.parts.part_of(name) for name, _ in model.named_parameters()} == set(PARTS)


def test_a_step_of_its_objective_reaches_every_part(family: Family) -> None:
    made = built(family, *PARTS)
    loss, _ = objective(family).loss(made.model, batch(family, made))
    loss.backward()
    moved = {name: each.grad for name, each in made.trainable().items() if each.grad is not None}
    assert all(torch.isfinite(gradient).all() for gradient in moved.values())
    reached = {family.parts.part_of(name) for name, gradient in moved.items() if gradient.abs().max() > 0}
    assert reached == set(PARTS)


@pytest.mark.parametrize("part", ["vision_tower", "language_model"])
def test_adapters_land_in_the_part_that_trains_and_nowhere_else(family: Family, part: str) -> None:
    skip_without_adapters(family)
    modules = dict(whole(family).model.named_modules())
    matched = [name for name in modules if re.fullmatch(getattr(family.lora, part), name)]
    assert {family.parts.part_of(f"{name}.weight") for name in matched} == {part}
    adapted = built(family, part, method=Method.LORA)
    assert {family.parts.part_of(name) for name in adapted.trainable()} == {part}
    assert all("lora_" in name for name in adapted.trainable())


def test_the_projector_trains_whole_beside_adapters(family: Family) -> None:
    skip_without_adapters(family)
    trainable = built(family, "projector", "language_model", method=Method.LORA).trainable()
    projector = [name for name in trainable if family.parts.part_of(name) == "projector"]
    assert projector
    assert not any("lora_" in name for name in projector)
    assert {family.parts.part_of(name) for name in trainable} == {"projector", "language_model"}


def test_a_saved_model_is_the_same_in_plain_transformers(family: Family, tmp_path: Path) -> None:
    made = whole(family)
    made.model.save_pretrained(tmp_path)
    made.processor.save_pretrained(tmp_path)
    given = batch(family, made)
    again = model_class(family).from_pretrained(tmp_path)
    assert torch.equal(logits(again, given), logits(made.model, given))
    processor = transformers.AutoProcessor.from_pretrained(tmp_path)  # type: ignore[no-untyped-call]
    assert processor.chat_template == made.processor.chat_template


def test_a_saved_adapter_is_the_same_in_plain_peft(family: Family, tmp_path: Path) -> None:
    skip_without_adapters(family)
    whole(family).model.save_pretrained(tmp_path / "base")
    made = built(family, "projector", "language_model", method=Method.LORA)
    for parameter in made.trainable().values():
        torch.nn.init.normal_(parameter, std=0.02)  # An untrained adapter changes nothing.
    assert made.peft is not None
    made.peft.save_pretrained(str(tmp_path / "adapter"), save_embedding_layers=False)
    base = model_class(family).from_pretrained(tmp_path / "base")
    given = batch(family, made)
    untouched = logits(base, given)
    again = logits(PeftModel.from_pretrained(base, str(tmp_path / "adapter")), given)
    assert torch.equal(again, logits(made.model, given))
    assert not torch.equal(again, untouched)
