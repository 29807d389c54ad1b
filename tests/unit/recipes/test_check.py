"""Each rule refuses what it names, says where and what to do, and a good job has no problem."""

import re
from dataclasses import replace
from typing import Any

import pytest
from visiontune_recipes.check import RULES, check, family_of
from visiontune_recipes.facts import DatasetFacts, Kind
from visiontune_recipes.families import FAMILIES
from visiontune_recipes.spec import Spec

GOOD = DatasetFacts(frozenset({Kind.CHAT_WITH_IMAGES}), {"train": 100, "validation": 20})
CAPTIONS = DatasetFacts(frozenset({Kind.CAPTIONED_IMAGE}), {"train": 100, "validation": 20})
PRESET = {"preset": "tiny-llava"}
MODEL = {"model": "projects/p/models/m"}

# rule -> field, base model, further fields of the spec, facts
CASES: dict[str, tuple[str, dict[str, str], dict[str, Any], DatasetFacts]] = {
    "unknown_preset": ("base_model.preset", {"preset": "huge"}, {}, GOOD),
    "kind_not_taken": ("dataset_version", PRESET, {}, CAPTIONS),
    "conversations_too_long": (
        "dataset_version",
        {"preset": "tiny-paligemma"},
        {},
        DatasetFacts(GOOD.kinds, GOOD.split_counts, most_messages=3),
    ),
    "no_pairs": ("dataset_version", PRESET, {"objective": "OBJECTIVE_PREFERENCE"}, GOOD),
    "preference_without_objective": ("preference", PRESET, {"preference": {"beta": 0.2}}, GOOD),
    "no_train_split": ("dataset_version", PRESET, {}, DatasetFacts(GOOD.kinds, {"validation": 2})),
    "no_validation_split": ("dataset_version", PRESET, {}, DatasetFacts(GOOD.kinds, {"train": 2})),
    "losses_not_offered": (
        "hyperparameters.losses",
        PRESET,
        {"hyperparameters": {"losses": ["mlm"]}},
        GOOD,
    ),
    "sharding_alone": (
        "resources.sharding",
        PRESET,
        {"resources": {"sharding": "SHARDING_FULL", "accelerator_count": 1}},
        GOOD,
    ),
}


def spec(base: object, **fields: Any) -> Spec:
    return Spec.model_validate(
        {"dataset_version": "projects/p/datasets/d/versions/v1", "base_model": base, **fields}
    )


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_names_the_field_and_a_remedy(rule: str) -> None:
    field, base, fields, facts = CASES[rule]
    problems = check(spec(base, **fields), facts, registered_family="llava" if base is MODEL else "")
    assert [(problem.field, problem.rule) for problem in problems] == [(field, rule)]
    assert re.fullmatch(r"[A-Z].*\.", problems[0].message)
    assert re.fullmatch(r"[A-Z].*\.", problems[0].remedy)


def test_every_rule_has_a_case() -> None:
    # These have files of their own, or tests below.
    elsewhere = {
        "adaptation",
        "bad_augmentation",
        "batching_not_offered",
        "evaluation",
        "objective_not_offered",
        "sharding_not_offered",
        "text_breaking",
    }
    assert {rule.__name__.lstrip("_") for rule in RULES} == CASES.keys() | elsewhere


@pytest.mark.parametrize(
    ("base", "evaluation", "facts", "rules"),
    [
        (PRESET, {"metrics": ["rouge_l", "loss"], "best_metric": "vqa_accuracy"}, GOOD, []),
        (PRESET, {"metrics": ["bleu", "recall_at_1"]}, GOOD, ["metrics_not_offered"]),
        (PRESET, {"best_metric": "ndcg_at_5"}, GOOD, ["best_metric_not_offered"]),
        ({"preset": "tiny-clip"}, {"best_metric": "text_to_image_recall_at_1"}, CAPTIONS, []),
        ({"preset": "tiny-clip"}, {"best_metric": "exact_match"}, CAPTIONS, ["best_metric_not_offered"]),
        ({"path": "/m"}, {"metrics": ["recall_at_1"]}, GOOD, []),
        ({"path": "/m"}, {"metrics": ["bleu"]}, GOOD, ["metrics_not_offered"]),
    ],
)
def test_a_measure_that_the_training_has_not_is_refused_with_those_it_has(
    base: object, evaluation: dict[str, Any], facts: DatasetFacts, rules: list[str]
) -> None:
    problems = check(spec(base, evaluation=evaluation), facts)
    assert [problem.rule for problem in problems] == rules
    assert all(problem.remedy.startswith("Choose from: loss, ") for problem in problems)


def test_weights_are_divided_where_answers_are_learnt() -> None:
    resources = {"sharding": "SHARDING_FULL", "accelerator_count": 2}
    assert check(spec(MODEL, resources=resources), GOOD, registered_family="llava") == []
    pairs = spec(MODEL, resources=resources, objective="OBJECTIVE_PREFERENCE")
    facts = DatasetFacts(frozenset({Kind.PREFERENCE}), GOOD.split_counts)
    [problem] = check(pairs, facts, registered_family="llava")
    assert problem.rule == "sharding_not_offered"


@pytest.mark.parametrize(
    ("batching", "changed", "remedy"),
    [
        ("BATCHING_PACKED", {"packs": False}, "Use BATCHING_LENGTH_GROUPED."),
        ("BATCHING_LENGTH_GROUPED", {"packs": False}, None),
        ("BATCHING_PACKED", {}, None),
    ],
)
def test_a_batching_that_the_family_cannot_is_refused_with_the_nearest_that_it_can(
    batching: str, changed: dict[str, Any], remedy: str | None
) -> None:
    families = {"llava": replace(FAMILIES["llava"], **changed)}
    problems = check(
        spec(MODEL, loading={"batching": batching}), GOOD, registered_family="llava", families=families
    )
    assert [(each.rule, each.remedy) for each in problems] == (
        [("batching_not_offered", remedy)] if remedy else []
    )


@pytest.mark.parametrize("base", [PRESET, MODEL, {"path": "/m"}, {"hub": {"repo_id": "a/b"}}])
def test_a_good_job_has_no_problem(base: object) -> None:
    assert check(spec(base), GOOD, registered_family="llava" if base is MODEL else "") == []


def test_a_family_that_is_not_installed_is_named() -> None:
    problems = check(spec(MODEL), GOOD, registered_family="mystery")
    assert [problem.rule for problem in problems] == ["unknown_family"]
    assert "mystery" in problems[0].message


def test_freezing_the_two_parts_that_would_train_is_freezing_everything() -> None:
    adaptation = {"projector": "PART_FREEZE", "language_model": "PART_FREEZE"}
    assert [problem.rule for problem in check(spec({"path": "/m"}, adaptation=adaptation), GOOD)] == [
        "everything_frozen"
    ]


@pytest.mark.parametrize("kind", [Kind.CHAT_WITH_VIDEO, Kind.RETRIEVAL, Kind.CAPTIONED_IMAGE])
def test_a_kind_that_no_family_takes_is_refused(kind: Kind) -> None:
    facts = DatasetFacts(frozenset({kind, Kind.CHAT}), GOOD.split_counts)
    [problem] = check(spec(PRESET), facts)
    assert (problem.rule, problem.message) == (
        "kind_not_taken",
        f'The family "llava" cannot train on examples of kind {kind}.',
    )


@pytest.mark.parametrize(
    ("kinds", "named"),
    [
        ({Kind.CAPTIONED_IMAGE}, "families clip, siglip, dual_encoder, flava, colqwen2, colpali."),
        ({Kind.CHAT_WITH_VIDEO, Kind.CHAT}, "families llava_onevision, qwen2_vl, qwen2_5_vl, qwen3_vl,"),
        ({Kind.RETRIEVAL, Kind.CHAT}, "a model of another family."),
    ],
)
def test_who_takes_the_kinds_that_a_family_refuses_is_named(kinds: set[Kind], named: str) -> None:
    [problem] = check(spec(PRESET), DatasetFacts(frozenset(kinds), GOOD.split_counts))
    assert named in problem.remedy


def test_pairs_are_learnt_by_preference_or_by_their_chosen_answers() -> None:
    pairs = DatasetFacts(frozenset({Kind.PREFERENCE}), GOOD.split_counts)
    assert check(spec(PRESET), pairs) == []
    assert check(spec(PRESET, objective="OBJECTIVE_CAUSAL_LM"), pairs) == []


def test_a_model_that_does_not_answer_has_one_objective() -> None:
    seeing = {"llava": replace(FAMILIES["llava"], objective="contrastive")}
    problems = check(spec(PRESET, objective="OBJECTIVE_CAUSAL_LM"), GOOD, families=seeing)
    assert [problem.rule for problem in problems] == ["objective_not_offered"]


def test_who_takes_longer_conversations_is_named() -> None:
    long = DatasetFacts(GOOD.kinds, GOOD.split_counts, most_messages=4)
    [problem] = check(spec({"preset": "tiny-paligemma"}), long)
    assert "gemma3" in problem.remedy
    assert "paligemma" not in problem.remedy
    assert check(spec({"preset": "tiny-gemma3"}), long) == []


def test_all_problems_are_listed_at_once() -> None:
    bad = spec(PRESET, adaptation={"lora": {}})
    assert [problem.rule for problem in check(bad, CAPTIONS)] == [
        "kind_not_taken",
        "lora_with_full",
    ]


def test_the_family_of_a_path_is_for_the_worker_to_find() -> None:
    assert family_of(spec({"path": "/m"})) is None
    assert family_of(spec(PRESET)).name == "llava"  # type: ignore[union-attr]  # a preset always has one
