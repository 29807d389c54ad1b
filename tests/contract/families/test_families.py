"""What holds for every family of the table, from its first day, shown on its smallest preset."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import PeftModel
from visiontune_recipes.families import Family
from visiontune_recipes.objectives import OBJECTIVES
from visiontune_recipes.spec import Method
from visiontune_worker import artifacts, checkpoints

from tests.support import families
from tests.support.families import WITH_PRESET, batch, built, outputs, spec_of, switched, whole

every = pytest.mark.parametrize("family", WITH_PRESET.values(), ids=WITH_PRESET.keys())
each = pytest.mark.parametrize("family", families.often(WITH_PRESET))


def skip_without_adapters(family: Family) -> None:
    if Method.LORA not in family.methods:
        pytest.skip(f"{family.name} takes no adapters")


def model_class(family: Family) -> Any:
    return getattr(transformers, family.model_class.partition(":")[2])


@every
def test_every_weight_belongs_to_a_part_and_every_part_has_some(family: Family) -> None:
    model = whole(family).model
    assert not family.model_types or model.config.model_type in family.model_types
    found = {name: family.parts.part_of(name) for name, _ in model.named_parameters()}
    assert {part for part in found.values() if part} == set(family.parts.names)
    # What belongs to no part is never used: the sound of models that hear as well.
    unused = family.unused(model.config) if family.unused else "(?!)"
    assert all(part or re.match(unused, name) for name, part in found.items())
    assert abs(whole(family).parameter_count - families.preset_of(family).parameter_count) < 5_000


@every
def test_every_weight_that_trains_gets_a_gradient_and_the_others_none(family: Family) -> None:
    made = built(family, *family.parts.names)
    for weight in made.trainable().values():
        if not weight.any():  # a projector that begins at zero passes nothing on (Gemma 3's)
            torch.nn.init.normal_(weight, std=0.02)
    torch.autograd.backward(families.objective(family, made).loss(made.model, batch(family, made)).summed)
    without = {name for name, weight in made.model.named_parameters() if weight.grad is None}
    assert without == {name for name, weight in made.model.named_parameters() if not weight.requires_grad}
    trainable = made.trainable()
    assert all(torch.isfinite(weight.grad).all() for weight in trainable.values() if weight.grad is not None)
    reached = {name for name, weight in trainable.items() if weight.grad is not None and weight.grad.any()}
    assert {family.parts.part_of(name) for name in reached} == set(family.parts.names)


@each
@pytest.mark.parametrize("part", families.PARTS)
def test_adapters_land_in_the_part_that_trains_and_nowhere_else(family: Family, part: str) -> None:
    skip_without_adapters(family)
    if not (pattern := getattr(family.lora, part, "")):
        pytest.skip(f"{family.name} has no adapters in its {part}")
    modules = dict(whole(family).model.named_modules())
    matched = [name for name in modules if re.fullmatch(pattern, name)]
    assert {family.parts.part_of(f"{name}.weight") for name in matched} == {part}
    # Of the projector, which is small, training means its weights.
    others = dict.fromkeys(families.PARTS, "PART_FREEZE")
    adapted = switched(family, Method.LORA, {**others, part: "PART_LORA"})
    trainable = adapted.trainable()
    assert {family.parts.part_of(name) for name in trainable} == {part}
    assert all("lora_" in name for name in trainable)
    found = families.objective(family, adapted).loss(adapted.model, batch(family, adapted))
    torch.autograd.backward(found.summed)
    assert all(weight.grad is not None for weight in trainable.values())


@each
def test_the_projector_trains_whole_beside_adapters(family: Family) -> None:
    skip_without_adapters(family)
    if not family.parts.projector:
        pytest.skip(f"{family.name} has no projector")
    trainable = built(family, "projector", "language_model", method=Method.LORA).trainable()
    projector = [name for name in trainable if family.parts.part_of(name) == "projector"]
    assert projector
    assert not any("lora_" in name for name in projector)
    assert {family.parts.part_of(name) for name in trainable} == {"projector", "language_model"}


@each
def test_a_saved_model_is_the_same_in_plain_transformers(family: Family, tmp_path: Path) -> None:
    made = whole(family)
    made.model.save_pretrained(tmp_path)
    made.processor.save_pretrained(tmp_path)
    given = batch(family, made)
    again = model_class(family).from_pretrained(tmp_path)
    assert torch.equal(outputs(again, given), outputs(made.model, given))
    processor = transformers.AutoProcessor.from_pretrained(tmp_path)  # type: ignore[no-untyped-call]
    template = (processor.tokenizer if family.forgets_template else processor).chat_template
    assert template == made.processor.chat_template
    # Pictures and texts are served as they were trained.
    processor.chat_template = template
    served, trained = (
        batch(family, replace(made, processor=each)).inputs for each in (processor, made.processor)
    )
    assert served.keys() == trained.keys()
    assert all(torch.equal(served[name], trained[name]) for name in served)


@each
def test_the_code_on_its_card_runs(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made, spec = whole(family), spec_of(family, *family.parts.names)
    story = artifacts.Story("projects/p/trainingJobs/j", spec, "", "", {}, {}, 1)
    artifacts.write(made, story, artifacts.MODEL, tmp_path)
    for name in ("picture.png", "page.png"):
        (tmp_path / name).write_bytes(families.scan(1))
    code = (tmp_path / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path)
    exec(code, {})  # noqa: S102 - it is our own
    assert capsys.readouterr().out


@each
def test_a_saved_adapter_is_the_same_in_plain_peft(family: Family, tmp_path: Path) -> None:
    skip_without_adapters(family)
    whole(family).model.save_pretrained(tmp_path / "base")
    made = built(family, "projector", "language_model", method=Method.LORA)
    for parameter in made.trainable().values():
        torch.nn.init.normal_(parameter, std=0.02)  # An untrained adapter changes nothing.
    assert made.peft is not None
    made.peft.save_pretrained(str(tmp_path / "adapter"), save_embedding_layers=False)
    base = model_class(family).from_pretrained(tmp_path / "base")
    if family.prepare:
        family.prepare(base, spec_of(family))  # As its card says.
    given = batch(family, made)
    untouched = outputs(base, given)
    again = outputs(PeftModel.from_pretrained(base, str(tmp_path / "adapter")), given)
    # Attention of torch itself takes another path where nothing needs a gradient.
    assert torch.allclose(again, outputs(made.model, given), atol=1e-6)
    assert not torch.equal(again, untouched)


@each
def test_a_resumed_training_goes_on_as_if_it_had_not_stopped(family: Family, tmp_path: Path) -> None:
    made = built(family, *family.parts.names)
    first, spec = families.training(family, made), spec_of(family, *family.parts.names)
    made.train()
    planned = families.steps(family, made, 4)
    losses = [first.advance(step).loss.item() for step in planned[:2]]
    checkpoints.write(first, spec, "sha256:0", tmp_path)
    losses += [first.advance(step).loss.item() for step in planned[2:]]
    # What a few pairs are compared with is other pairs in each step: their losses go up and down.
    assert OBJECTIVES[family.objective].couples_examples or losses[-1] < losses[0]
    torch.manual_seed(99)
    again = families.training(family, built(family, *family.parts.names))
    again.built.train()
    checkpoints.read(again, tmp_path)
    assert [again.advance(step).loss.item() for step in planned[2:]] == losses[2:]


@each
def test_what_is_frozen_stays_as_it_is_and_works_as_when_used(family: Family) -> None:
    trains = "language_model"
    made = built(family, trains)
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    training = families.training(family, made)
    made.train()
    for step in families.steps(family, made, 2):
        training.advance(step)
    changed = {
        name for name, value in made.model.state_dict().items() if not torch.equal(value, before[name])
    }
    assert {family.parts.part_of(name) for name in changed} == {trains}
    for name, module in made.model.named_modules():
        if name and family.parts.part_of(f"{name}.") not in (trains, None):
            assert not module.training, name


@each
def test_passes_of_a_step_add_up_to_one_pass(family: Family) -> None:
    made = built(family, *family.parts.names)
    objective = families.objective(family, made)
    given = [example for number in range(2) for example in families.examples(family, 2)[number::2]]
    gradients = []
    for size in (len(given), 1):
        made.model.zero_grad()
        parts = [batch(family, made, given[start : start + size]) for start in range(0, len(given), size)]
        weight = sum(part.weight for part in parts)
        objective.backward(made, parts, weight)
        gradients.append(
            torch.cat([p.grad.flatten() for p in made.trainable().values() if p.grad is not None])
        )
    assert (gradients[0] - gradients[1]).norm() <= 1e-5 * (1 + gradients[0].norm())
