"""A job goes on from a checkpoint only where it fits, and only where something is left to do."""

from typing import Any

import pytest
from visiontune_recipes.facts import DatasetFacts, Kind
from visiontune_recipes.resolve import resolve
from visiontune_recipes.resume_rules import problems
from visiontune_recipes.spec import Spec

FACTS = DatasetFacts(frozenset({Kind.CHAT_WITH_IMAGES}), {"train": 100, "validation": 20})


def resolved(**fields: Any) -> Spec:
    given = {
        "dataset_version": "projects/p/datasets/d/versions/v1",
        "base_model": {"path": "/m"},
        "resume_from": {"checkpoint": "projects/p/trainingJobs/j", "step": 10, "data_start_step": 0},
    }
    return resolve(Spec.model_validate({**given, **fields}), FACTS)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"dataset_version": "projects/p/datasets/d/versions/v2", "evaluation": {"every_steps": 3}},
        {"hyperparameters": {"learning_rate": 1e-5, "optimiser": "OPTIMISER_ADAMW", "batch_size": 2}},
    ],
)
def test_data_and_numbers_may_differ(fields: dict[str, Any]) -> None:
    assert list(problems(resolved(**fields), resolved(), total_steps=11)) == []


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("base_model", {"base_model": {"path": "/other"}}),
        ("adaptation", {"adaptation": {"lora": {"rank": 4}}}),
        ("hyperparameters.optimiser", {"hyperparameters": {"optimiser": "OPTIMISER_ADAFACTOR"}}),
        ("hyperparameters.learning_rates", {"hyperparameters": {"learning_rates": {"projector": 0.1}}}),
    ],
)
def test_what_the_checkpoint_was_made_with_must_be_the_same(field: str, fields: dict[str, Any]) -> None:
    found = list(problems(resolved(**fields), resolved(), total_steps=11))
    assert [(problem.field, problem.rule) for problem in found] == [(field, "resumed_differently")]
    assert field in found[0].remedy


def test_a_job_that_would_end_before_it_begins_is_refused() -> None:
    [problem] = problems(resolved(), resolved(), total_steps=10)
    assert (problem.field, problem.rule) == ("resume_from", "nothing_left")
    assert "step 10" in problem.message
