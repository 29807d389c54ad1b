"""A policy is checked against its table, resolved into what is applied, and weighed against the texts."""

import re
from typing import Any

import pytest
from visiontune_recipes import augmentation_rules
from visiontune_recipes.augmentation import PRESETS, Augmentation, Preset, Transform, breaking, resolve
from visiontune_recipes.check import check, warnings
from visiontune_recipes.facts import DatasetFacts, Kind, Sense, SenseCount
from visiontune_recipes.resolve import resolve as resolve_spec
from visiontune_recipes.spec import Spec, digest
from visiontune_recipes.transforms import TRANSFORMS

EVERY_SENSE = {sense: SenseCount(7, ("word",)) for sense in Sense}
COUNTS = {"train": 100, "validation": 20}
FACTS = DatasetFacts(frozenset({Kind.CHAT_WITH_IMAGES}), COUNTS, EVERY_SENSE)
FLIP = {"transforms": [{"name": "RandomHorizontalFlip"}]}


def spec(augmentation: Any = None) -> Spec:
    given = {} if augmentation is None else {"augmentation": augmentation}
    return Spec.model_validate(
        {
            "dataset_version": "projects/p/datasets/d/versions/v1",
            "base_model": {"preset": "tiny-llava"},
            **given,
        }
    )


def policy(name: str, allow: bool = False, **parameters: float) -> dict[str, Any]:
    return {"transforms": [{"name": name, "parameters": parameters}], "allow_text_breaking": allow}


def test_a_spec_without_a_policy_has_the_digest_that_it_had_before() -> None:
    resolved = resolve_spec(spec(), FACTS)
    assert digest(resolved) == "sha256:630de1294b948ce50430b40bc40d44b3d263213bcd26d3993e45d2afadd4c89c"
    assert resolve_spec(spec({"preset": "PRESET_NONE"}), FACTS) == resolved


def test_another_policy_is_another_digest() -> None:
    policies = [None, {"preset": "PRESET_LIGHT"}, {"preset": "PRESET_STRONG"}, FLIP]
    assert len({digest(resolve_spec(spec(each), FACTS)) for each in policies}) == 4


@pytest.mark.parametrize("preset", Preset)
def test_a_resolved_policy_names_every_parameter_and_stays_what_it_is(preset: Preset) -> None:
    resolved = resolve(Augmentation(preset=preset))
    if resolved is None:
        assert preset is Preset.NONE
        return
    assert resolved.preset is None
    assert resolve(resolved) == resolved
    for each in resolved.transforms:
        assert each.parameters.keys() == TRANSFORMS[each.name].parameters.keys()
    again = Spec.model_validate(resolve_spec(spec({"preset": preset}), FACTS).to_dict())
    assert again.augmentation == resolved


@pytest.mark.parametrize("preset", Preset)
def test_a_preset_is_within_its_bounds_and_breaks_no_text(preset: Preset) -> None:
    assert check(spec({"preset": preset}), FACTS) == []
    assert list(augmentation_rules.problems(Augmentation(transforms=PRESETS[preset]))) == []


@pytest.mark.parametrize("name", TRANSFORMS)
def test_defaults_are_within_their_bounds(name: str) -> None:
    row = TRANSFORMS[name]
    assert all(each.takes(each.default) for each in row.parameters.values())
    assert list(augmentation_rules.problems(Augmentation(transforms=(Transform(name=name),)))) == []
    assert all(each.parameter in row.parameters for each in row.breaks if each.parameter)


@pytest.mark.parametrize(
    ("asked", "field", "rule", "said"),
    [
        (
            policy("ColourJitter"),
            "[0].name",
            "unknown_transform",
            "ColorJitter is near. Use one of: AugMix, ",
        ),
        (policy("Mixup"), "[0].name", "unknown_transform", 'There is no transform "Mixup".'),
        (
            policy("ColorJitter", brightnes=0.1),
            "[0].parameters.brightnes",
            "unknown_parameter",
            "brightness is near. It takes: brightness, contrast, saturation, hue, probability.",
        ),
        (
            policy("ColorJitter", brightness=1.7),
            "[0].parameters.brightness",
            "parameter_out_of_bounds",
            "Give a number from 0 to 1; 0.2 when absent.",
        ),
        (
            policy("JPEG", quality_min=50.5),
            "[0].parameters.quality_min",
            "parameter_out_of_bounds",
            "50.5 is no quality_min of JPEG: worst quality. Give a whole number from 5 to 100; 50 when",
        ),
        (
            policy("JPEG", quality_min=96),
            "[0].parameters.quality_min",
            "parameters_crossed",
            "quality_min (96) is above quality_max (95).",
        ),
        (
            {"preset": "PRESET_LIGHT", **FLIP, "allow_text_breaking": True},
            "",
            "preset_with_transforms",
            "either a preset or a list",
        ),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(asked: Any, field: str, rule: str, said: str) -> None:
    [problem] = check(spec(asked), FACTS)
    where = f"augmentation.transforms{field}" if field else "augmentation.preset"
    assert (problem.field, problem.rule) == (where, rule)
    assert said in f"{problem.message} {problem.remedy}"
    assert re.fullmatch(r"[A-Z0-9_a-z].*\.", problem.message)
    assert re.fullmatch(r"[A-Z].*\.", problem.remedy)


@pytest.mark.parametrize(
    ("name", "parameters", "broken"),
    [
        ("RandomHorizontalFlip", {}, {Sense.HORIZONTAL, Sense.TURNING, Sense.READING}),
        ("RandomHorizontalFlip", {"probability": 0}, set()),
        ("RandomVerticalFlip", {}, {Sense.VERTICAL, Sense.TURNING, Sense.READING}),
        ("RandomRotation", {"degrees": 10}, set()),
        ("RandomRotation", {"degrees": 11}, set(Sense) - {Sense.COLOUR}),
        ("RandomResizedCrop", {"scale_min": 0.5}, set(Sense) - {Sense.COLOUR}),
        ("RandomGrayscale", {}, {Sense.COLOUR}),
        ("ColorJitter", {"hue": 0.2}, {Sense.COLOUR}),
        ("TrivialAugmentWide", {}, set(Sense)),
    ],
)
def test_a_transform_breaks_what_it_changes(
    name: str, parameters: dict[str, float], broken: set[Sense]
) -> None:
    resolved = resolve(Augmentation(transforms=(Transform(name=name, parameters=parameters),)))
    assert resolved is not None
    assert breaking(resolved.transforms) == ({name: broken} if broken else {})


def test_a_flip_is_refused_where_texts_say_left_and_the_words_are_named() -> None:
    senses = {
        Sense.HORIZONTAL: SenseCount(12, ("left", "right")),
        Sense.READING: SenseCount(1_797, ("digit",)),
        Sense.COLOUR: SenseCount(3, ("red",)),
    }
    facts = DatasetFacts(FACTS.kinds, COUNTS, senses)
    [problem] = check(spec(FLIP), facts)
    assert (problem.field, problem.rule) == ("augmentation.transforms", "text_breaking")
    assert problem.message == (
        "With RandomHorizontalFlip a text may no longer be true of its picture: 12 examples say where "
        'something is from left to right ("left", "right"); 1,797 examples are about reading ("digit").'
    )
    assert "allow_text_breaking" in problem.remedy
    assert check(spec({**FLIP, "allow_text_breaking": True}), facts) == []
    assert check(spec(FLIP), DatasetFacts(FACTS.kinds, COUNTS, {Sense.COLOUR: SenseCount(3, ("red",))})) == []


def test_texts_that_nobody_looked_at_may_say_anything() -> None:
    unknown = DatasetFacts(FACTS.kinds, COUNTS)
    assert [each.rule for each in check(spec(FLIP), unknown)] == ["texts_unknown"]
    assert check(spec({"preset": "PRESET_STRONG"}), unknown) == []
    assert check(spec({**FLIP, "allow_text_breaking": True}), unknown) == []


def test_a_policy_for_text_alone_is_a_warning() -> None:
    text = DatasetFacts(frozenset({Kind.CHAT}), COUNTS, EVERY_SENSE)
    assert check(spec(FLIP), text) == []
    assert [each.rule for each in warnings(spec(FLIP), text)] == ["nothing_to_augment"]
    assert warnings(spec(FLIP), FACTS) == []
    assert warnings(spec({"preset": "PRESET_NONE"}), text) == []
