"""What every way to adapt a model touches, and that plain peft makes the same of what is saved."""

import re
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import PeftModel
from visiontune_recipes import adaptation_rules
from visiontune_recipes.families import FAMILIES, Family
from visiontune_recipes.spec import PARTS, Method, Spec
from visiontune_worker import build
from visiontune_worker.faults import ConfigurationFault
from visiontune_worker.loop import Training

from tests.support import families, worker_data
from tests.support.families import WITH_PRESET, batch, outputs, steps

LLAVA = FAMILIES["llava"]
LORA = {"method": "METHOD_LORA"}
TAKES_ADAPTERS = [each for each in WITH_PRESET.values() if Method.LORA in each.methods]
# One row in every run; the others take their time.
ROWS = [
    pytest.param(each, id=each.name, marks=() if each is LLAVA else pytest.mark.slow)
    for each in TAKES_ADAPTERS
]
Base = Callable[[Family], Path]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """The folder of a family's preset, saved as a model that comes from elsewhere."""
    root = tmp_path_factory.mktemp("bases")

    def of(family: Family) -> Path:
        folder = root / family.name
        if not folder.exists():
            families.whole(family).model.save_pretrained(folder)
            families.whole(family).processor.save_pretrained(folder)
        return folder

    return of


def spec_of(folder: Path, **fields: Any) -> Spec:
    """A resolved spec that starts from a folder."""
    return families.resolved(worker_data.spec({"path": str(folder)}, **fields))


def built(folder: Path, adaptation: Mapping[str, Any] = LORA, **fields: Any) -> build.Built:
    spec = spec_of(folder, adaptation=adaptation, **fields)
    return build.build(spec, build.Sources(roots=(folder.parent,)))


def training(made: build.Built, folder: Path, **numbers: Any) -> Training:
    numbers = {"learning_rate": 1e-3, **numbers}
    found = families.training(made.family, made)
    hyperparameters = spec_of(folder, hyperparameters=numbers).hyperparameters
    return Training(made, found.objective, hyperparameters, found.order, total_steps=10)


def shake(made: build.Built) -> None:
    """Gives an adapter something to say: an untrained one changes nothing."""
    for parameter in made.trainable().values():
        torch.nn.init.normal_(parameter, std=0.02)


def in_plain_peft(made: build.Built, folder: Path, adapter: Path) -> PeftModel:
    """What a user's own script gets from the saved adapter."""
    assert made.peft is not None
    made.peft.save_pretrained(str(adapter), save_embedding_layers=False)
    model_class = getattr(transformers, made.family.model_class.partition(":")[2])
    base = model_class.from_pretrained(folder)
    if made.family.prepare:
        made.family.prepare(base, spec_of(folder))  # As its card says.
    return PeftModel.from_pretrained(base, str(adapter))


def parts(made: build.Built, names: Mapping[str, Any]) -> set[str | None]:
    return {made.family.parts.part_of(name) for name in names}


@pytest.mark.parametrize("family", ROWS)
def test_each_part_is_frozen_adapted_or_trained_whole_as_asked(family: Family, base: Base) -> None:
    for part in family.parts.names:
        others = dict.fromkeys(PARTS, "PART_FREEZE")
        if getattr(family.lora, part):
            adapted = built(base(family), {**LORA, **others, part: "PART_LORA"}).trainable()
            assert {family.parts.part_of(name) for name in adapted} == {part}
            assert all("lora_" in name for name in adapted)
        whole = built(base(family), {"method": "METHOD_FULL", **others, part: "PART_FULL"}).trainable()
        assert {family.parts.part_of(name) for name in whole} == {part}


WAYS: dict[str, dict[str, Any]] = {
    "rslora": {"lora": {"use_rslora": True}},
    "dora": {"lora": {"use_dora": True}},
    "embeddings": {"lora": {"train_embeddings": True}},
    "adapters everywhere": {"vision_tower": "PART_LORA", "projector": "PART_LORA"},
    "tower whole": {"vision_tower": "PART_FULL"},
    "language model whole": {"vision_tower": "PART_LORA", "language_model": "PART_FULL"},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", ROWS)
def test_what_was_trained_is_what_plain_peft_loads(
    family: Family, way: str, base: Base, tmp_path: Path
) -> None:
    adaptation = {**LORA, **WAYS[way]}
    if refused(base(family), family, adaptation):
        pytest.skip(f"{family.name} refuses it")
    made = built(base(family), adaptation)
    shake(made)
    given = batch(family, made)
    plain = in_plain_peft(made, base(family), tmp_path)
    # Attention of torch itself takes another path where nothing needs a gradient.
    assert torch.allclose(outputs(plain, given), outputs(made.model, given), atol=1e-6)
    # Merged in float32, saved and loaded as a whole model.
    plain.merge_and_unload().save_pretrained(tmp_path / "merged")
    model_class = getattr(transformers, family.model_class.partition(":")[2])
    merged = model_class.from_pretrained(tmp_path / "merged")
    assert torch.allclose(outputs(merged, given), outputs(made.model, given), atol=1e-4)


def refused(folder: Path, family: Family, adaptation: Mapping[str, Any], **fields: Any) -> list[str]:
    """Rules that the trainer would refuse by."""
    return [
        each.rule
        for each in adaptation_rules.problems(spec_of(folder, adaptation=adaptation, **fields), family)
    ]


SWITCHES = ("PART_TRAIN", "PART_FREEZE", "PART_FULL", "PART_LORA")
METHODS = ("METHOD_FULL", "METHOD_LORA")


def is_built(folder: Path, adaptation: Mapping[str, Any], **fields: Any) -> bool:
    """True when a model is made, and a step of it reaches all that trains."""
    try:
        made = built(folder, adaptation, **fields)
    except ConfigurationFault as fault:
        if fault.reason != "ADAPTATION_REFUSED":
            raise
        return False
    trained = training(made, folder)
    assert trained.parameters
    assert all(each.dtype == torch.float32 for each in trained.parameters)
    made.train()
    for given in steps(made.family, made, 1)[0]:
        with made.autocast():
            loss = trained.objective.loss(made.model, given).summed
        torch.autograd.backward(loss)
    without = [name for name, each in made.trainable().items() if each.grad is None]
    assert without == []
    return True


def combinations() -> list[dict[str, str]]:
    """Every method with every switch of every part."""
    names = ("method", *PARTS)
    ways = product(METHODS, SWITCHES, SWITCHES, SWITCHES)
    return [dict(zip(names, each, strict=True)) for each in ways]


# Drawn once: each method, and each switch of each part.
SAMPLE = [combinations()[place] for place in (6, 27, 33, 64, 80, 93, 106, 127)]


def test_what_the_trainer_accepts_is_built_and_nothing_else(base: Base) -> None:
    compare_all(LLAVA, base, SAMPLE)


@pytest.mark.slow
@pytest.mark.parametrize("family", TAKES_ADAPTERS, ids=lambda each: each.name)
def test_every_combination_that_the_trainer_accepts_is_built_and_nothing_else(
    family: Family, base: Base
) -> None:
    compare_all(family, base, combinations())


def compare_all(family: Family, base: Base, ways: list[dict[str, str]]) -> None:
    found = {str(way): is_built(base(family), way) for way in ways}
    expected = {str(way): not refused(base(family), family, way) for way in ways}
    assert found == expected
    assert set(expected.values()) == {True, False}


@pytest.mark.parametrize(
    ("adaptation", "numbers"),
    [
        ({"method": "METHOD_QLORA"}, {}),
        ({"method": "METHOD_QLORA", "quantisation": "QUANTISATION_INT8"}, {}),
        (LORA, {"precision": "PRECISION_FP16"}),
        (LORA, {"optimiser": "OPTIMISER_ADAMW_8BIT"}),
        (LORA, {"precision": "PRECISION_BF16", "gradient_checkpointing": True}),
        (LORA, {"optimiser": "OPTIMISER_ADAFACTOR"}),
        ({"method": "METHOD_FULL"}, {"precision": "PRECISION_BF16"}),
    ],
)
def test_what_needs_an_accelerator_is_refused_without_one_and_the_rest_is_built(
    adaptation: Mapping[str, Any], numbers: Mapping[str, Any], base: Base
) -> None:
    rules = refused(base(LLAVA), LLAVA, adaptation, hyperparameters=numbers)
    assert is_built(base(LLAVA), adaptation, hyperparameters=numbers) == (not rules)
    # With one the trainer refuses none of them.
    with_one = {"hyperparameters": numbers, "resources": {"accelerator_count": 1}}
    assert refused(base(LLAVA), LLAVA, adaptation, **with_one) == []


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (r".*q_proj", 3),  # Of the language model alone, although it hits the tower as well.
        ("all-linear", 21),
        (r"model\.language_model\.embed_tokens", 1),
    ],
)
def test_a_pattern_hits_only_parts_with_adapters(target: str, expected: int, base: Base) -> None:
    adaptation = {**LORA, "projector": "PART_FREEZE", "lora": {"target_modules": target}}
    made = built(base(LLAVA), adaptation)
    adapted = {re.sub(r"\.lora_.*", "", name) for name in made.trainable()}
    assert parts(made, dict.fromkeys(adapted)) == {"language_model"}
    assert len(adapted) == expected


@pytest.mark.parametrize("family", ROWS)
def test_layers_that_were_chosen_before_are_those_that_the_worker_takes(family: Family, base: Base) -> None:
    asked = worker_data.spec({"path": str(base(family))}, adaptation=LORA)
    sources = build.Sources(roots=(base(family).parent,))
    chosen, open_ = (build.build(families.resolved(asked, known), sources) for known in (family, None))
    assert chosen.trainable().keys() == open_.trainable().keys()
    assert chosen.peft is not None
    assert open_.peft is not None
    of_both = [each.peft_config["default"].to_dict() for each in (chosen.peft, open_.peft)]
    assert of_both[0]["target_modules"] == of_both[1]["target_modules"]


def test_a_pattern_that_hits_only_other_parts_is_named(base: Base) -> None:
    with pytest.raises(ConfigurationFault, match="language_model") as nothing:
        built(base(LLAVA), {**LORA, "lora": {"target_modules": r".*vision_tower.*q_proj"}})
    assert nothing.value.reason == "NO_MODULE_TO_ADAPT"
