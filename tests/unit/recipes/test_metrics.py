"""Which way a measure is better, what a job reports, and which state becomes its result."""

import re
from math import nan
from pathlib import Path
from typing import Any

import pytest
from visiontune_recipes.evaluation_rules import warnings
from visiontune_recipes.facts import DatasetFacts, Kind
from visiontune_recipes.metrics import is_better, offered, reported
from visiontune_recipes.objectives import CAUSAL_LM
from visiontune_recipes.resolve import resolve
from visiontune_recipes.spec import Evaluation, Spec

FACTS = DatasetFacts(frozenset({Kind.CHAT_WITH_IMAGES}), {"train": 100, "validation": 20})


def spec(**fields: Any) -> Spec:
    return Spec.model_validate(
        {"dataset_version": "projects/p/datasets/d/versions/v1", "base_model": {"path": "/m"}, **fields}
    )


@pytest.mark.parametrize(
    ("metric", "value", "than", "by", "better"),
    [
        ("loss", 1.0, 2.0, 0.0, True),
        ("loss", 2.0, 1.0, 0.0, False),
        ("loss", 1.0, 1.5, 0.5, False),
        ("exact_match", 0.5, 0.4, 0.0, True),
        ("exact_match", 0.5, 0.5, 0.0, False),
        ("ndcg_at_5", 0.5, None, 0.3, True),
        ("loss", nan, None, 0.0, False),
        ("loss", nan, 1.0, 0.0, False),
    ],
)
def test_less_loss_is_better_and_more_of_all_else(
    metric: str, value: float, than: float | None, by: float, better: bool
) -> None:
    assert is_better(metric, value, than, by) is better


def test_what_is_asked_for_is_reported_with_what_the_job_is_judged_by() -> None:
    found = dict.fromkeys(offered(CAUSAL_LM), 0.5)
    assert reported(found, Evaluation()) == found
    chosen = reported(found, Evaluation(metrics=("rouge_l",), best_metric="vqa_accuracy"))
    assert chosen.keys() == {"loss", "token_accuracy", "rouge_l", "vqa_accuracy"}


@pytest.mark.parametrize(
    ("fields", "is_best"),
    [
        ({}, False),
        ({"evaluation": {"early_stopping": {}}}, True),
        ({"evaluation": {"early_stopping": {}}, "publish": {"state": "STATE_LAST"}}, False),
        ({"publish": {"state": "STATE_BEST"}}, True),
    ],
)
def test_the_last_state_is_published_unless_patience_or_the_job_says_otherwise(
    fields: dict[str, Any], is_best: bool
) -> None:
    assert resolve(spec(**fields), FACTS).publishes_best is is_best


@pytest.mark.parametrize(
    ("evaluation", "rules"),
    [
        ({}, []),
        ({"early_stopping": {"patience": 1}}, []),
        ({"early_stopping": {"patience": 2}}, ["patience_too_long"]),
        ({"early_stopping": {"patience": 3}, "every_steps": 5}, []),
    ],
)
def test_patience_that_the_training_does_not_outlast_is_warned_of(
    evaluation: dict[str, Any], rules: list[str]
) -> None:
    resolved = resolve(spec(evaluation=evaluation, hyperparameters={"epochs": 3, "batch_size": 10}), FACTS)
    assert [each.rule for each in warnings(resolved, FACTS)] == rules


def test_the_page_on_evaluation_names_every_measure() -> None:
    page = (Path(__file__).parents[3] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    missing = {name for name in offered(None) if not {name, re.sub(r"\d+$", "k", name)} & named(page)}
    assert missing == set()


def named(page: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", page))


def test_early_stopping_is_resolved_where_it_is_asked_for() -> None:
    asked = spec(evaluation={"early_stopping": {}, "every_steps": 5})
    resolved = resolve(asked, FACTS)
    assert resolved.evaluation.early_stopping is not None
    assert resolved.evaluation.early_stopping.patience == 3
    assert resolve(resolved, FACTS) == resolved
    assert resolve(spec(), FACTS).evaluation.early_stopping is None
