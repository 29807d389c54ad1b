"""Each rule of adaptation refuses what it names and says what works instead, and that does work."""

import re
from dataclasses import replace
from typing import Any

import pytest
from visiontune_recipes.adaptation_rules import RULES
from visiontune_recipes.check import check
from visiontune_recipes.facts import DatasetFacts, Kind
from visiontune_recipes.families import FAMILIES
from visiontune_recipes.resolve import resolve
from visiontune_recipes.spec import Adaptation, Hyperparameters, Method, Spec

FACTS = DatasetFacts(frozenset({Kind.CHAT_WITH_IMAGES}), {"train": 100, "validation": 20})
LLAVA = FAMILIES["llava"]
# A family that offers less: no method in few bits, and no linear layer in its projector.
LESS = {"llava": replace(LLAVA, methods=(Method.FULL, Method.LORA), lora=replace(LLAVA.lora, projector=""))}
PRESET = {"preset": "tiny-llava"}
MODEL = {"model": "projects/p/models/m"}
FULL, LORA, QLORA = ({"method": f"METHOD_{name}"} for name in ("FULL", "LORA", "QLORA"))
FROZEN = dict.fromkeys(("vision_tower", "projector", "language_model"), "PART_FREEZE")
GPU = {"resources": {"accelerator_count": 1}}

# rule -> field, base model, further fields of the spec, and fields of it that are the remedy
CASES: dict[str, tuple[str, dict[str, str], dict[str, Any], dict[str, Any]]] = {
    "lora_with_full": ("adaptation.lora", PRESET, {"adaptation": {"lora": {"rank": 4}}}, {"adaptation": {}}),
    "adapted_part_with_full": (
        "adaptation.vision_tower",
        PRESET,
        {"adaptation": {"vision_tower": "PART_LORA"}},
        {"adaptation": {"vision_tower": "PART_FULL"}},
    ),
    "nothing_to_merge": ("publish.merged", PRESET, {"publish": {"merged": True}}, {"publish": {}}),
    "few_bits_not_merged": (
        "publish.merged",
        MODEL,
        {"adaptation": QLORA, "publish": {"merged": True}, **GPU},
        {"adaptation": LORA},
    ),
    "adapter_without_base": ("adaptation.method", PRESET, {"adaptation": LORA}, {"adaptation": FULL}),
    "method_not_offered": ("adaptation.method", MODEL, {"adaptation": QLORA, **GPU}, {"adaptation": LORA}),
    "adapters_not_offered": (
        "adaptation.projector",
        MODEL,
        {"adaptation": {"projector": "PART_LORA"}},
        {"adaptation": {"projector": "PART_FULL"}},
    ),
    "bad_target_modules": (
        "adaptation.lora.target_modules",
        MODEL,
        {"adaptation": {"lora": {"target_modules": "("}}},
        {"adaptation": {"lora": {"target_modules": "all-linear"}}},
    ),
    "everything_frozen": ("adaptation", MODEL, {"adaptation": FROZEN}, {"adaptation": LORA}),
    "nothing_to_adapt": (
        "adaptation",
        MODEL,
        {"adaptation": {"language_model": "PART_FREEZE"}},
        {"adaptation": {"language_model": "PART_FREEZE", **FULL}},
    ),
    "embeddings_not_adapted": (
        "adaptation.lora.train_embeddings",
        MODEL,
        {
            "adaptation": {
                "lora": {"train_embeddings": True},
                "vision_tower": "PART_LORA",
                "language_model": "PART_FREEZE",
            }
        },
        {"adaptation": {"lora": {"train_embeddings": True}, "language_model": "PART_LORA"}},
    ),
    "quantisation_without_qlora": (
        "adaptation.quantisation",
        MODEL,
        {"adaptation": {"quantisation": "QUANTISATION_NF4"}},
        {"adaptation": LORA},
    ),
    "qlora_needs_accelerator": ("adaptation.method", MODEL, {"adaptation": QLORA}, GPU),
    "fp16_needs_accelerator": (
        "hyperparameters.precision",
        MODEL,
        {"hyperparameters": {"precision": "PRECISION_FP16"}},
        {"hyperparameters": {"precision": "PRECISION_BF16"}},
    ),
    "adamw_8bit_needs_accelerator": (
        "hyperparameters.optimiser",
        MODEL,
        {"hyperparameters": {"optimiser": "OPTIMISER_ADAMW_8BIT"}},
        {"hyperparameters": {"optimiser": "OPTIMISER_ADAFACTOR"}},
    ),
    "rate_of_frozen_part": (
        "hyperparameters.learning_rates.vision_tower",
        MODEL,
        {"hyperparameters": {"learning_rates": {"vision_tower": 1e-5}}},
        {"adaptation": {"vision_tower": "PART_TRAIN"}},
    ),
    "nothing_to_continue": (
        "adaptation.continue_adapter",
        {"path": "/m"},
        {"adaptation": {"continue_adapter": True}},
        {"adaptation": {}},
    ),
    "continued_settings": (
        "adaptation.lora",
        MODEL,
        {"adaptation": {"continue_adapter": True, "lora": {"rank": 8}}},
        {"adaptation": {"continue_adapter": True}},
    ),
}


def spec(base: object, **fields: Any) -> Spec:
    return Spec.model_validate(
        {"dataset_version": "projects/p/datasets/d/versions/v1", "base_model": base, **fields}
    )


def refusals(rule: str, asked: Spec) -> list[tuple[str, str]]:
    families = LESS if rule in {"method_not_offered", "adapters_not_offered"} else FAMILIES
    registered = "llava" if asked.base_model.model else ""
    found = check(asked, FACTS, registered_family=registered, families=families)
    for problem in found:
        assert re.fullmatch(r"[A-Z].*\.", problem.message)
        assert re.fullmatch(r"[A-Z].*\.", problem.remedy)
    return [(problem.field, problem.rule) for problem in found]


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_names_the_field_and_its_remedy_works(rule: str) -> None:
    field, base, fields, remedy = CASES[rule]
    assert refusals(rule, spec(base, **fields)) == [(field, rule)]
    assert refusals(rule, spec(base, **{**fields, **remedy})) == []


def test_every_rule_has_a_case() -> None:
    assert {rule.__name__.lstrip("_") for rule in RULES} == CASES.keys()


def test_a_model_that_makes_no_tokens_has_no_embeddings_to_train() -> None:
    facts = DatasetFacts(frozenset({Kind.CAPTIONED_IMAGE}), FACTS.split_counts)
    asked = spec(MODEL, adaptation={"lora": {"train_embeddings": True}})
    [problem] = check(asked, facts, registered_family="clip")
    assert (problem.rule, problem.remedy) == ("embeddings_not_adapted", "Leave train_embeddings out.")


def test_an_adapter_is_not_continued_by_training_whole() -> None:
    asked = spec(MODEL, adaptation={"continue_adapter": True, **FULL})
    assert refusals("", asked) == [("adaptation.method", "nothing_to_continue")]


@pytest.mark.parametrize(
    ("adaptation", "whole", "adapted"),
    [
        (FULL, {"projector", "language_model"}, set()),
        (LORA, {"projector"}, {"language_model"}),
        ({**LORA, "projector": "PART_LORA", "vision_tower": "PART_FULL"}, {"vision_tower"}, None),
        ({**LORA, "vision_tower": "PART_LORA", "projector": "PART_FREEZE"}, set(), None),
        ({**QLORA, "vision_tower": "PART_TRAIN"}, {"projector"}, {"vision_tower", "language_model"}),
    ],
)
def test_what_a_part_does_follows_from_its_switch_and_the_method(
    adaptation: dict[str, Any], whole: set[str], adapted: set[str] | None
) -> None:
    resolved = resolve(spec(MODEL, adaptation=adaptation), FACTS).adaptation
    assert resolved.whole() == whole
    if adapted is None:
        asked = {name for name, value in adaptation.items() if value == "PART_LORA"}
        adapted = asked | {"language_model"}
    assert resolved.adapted() == adapted
    assert resolved.trains() == whole | adapted


def test_a_part_learns_at_its_own_rate_and_else_at_the_jobs() -> None:
    numbers = Hyperparameters.model_validate({"learning_rate": 0.1, "learning_rates": {"projector": 0.5}})
    rates = [numbers.rate_of(part) for part in ("vision_tower", "projector", None)]
    assert rates == [0.1, 0.5, 0.1]


def test_a_continued_adapter_is_given_no_settings() -> None:
    resolved = resolve(spec(MODEL, adaptation={"continue_adapter": True}), FACTS).adaptation
    assert resolved == Adaptation(method=Method.LORA, continue_adapter=True)
