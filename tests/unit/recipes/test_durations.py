"""How long a job takes by what an earlier one reached: its steps, and all its evaluations."""

from typing import Any

import pytest
from visiontune_recipes.estimate.counting import sizes_of_preset
from visiontune_recipes.estimate.needs import Speed, duration_of
from visiontune_recipes.estimate.work import Work
from visiontune_recipes.facts import DatasetFacts, Kind, Lengths, Span
from visiontune_recipes.presets import PRESETS
from visiontune_recipes.resolve import evaluations_after, resolve
from visiontune_recipes.spec import Spec

ONE = Span(1, 1, 1, 1)
LENGTHS = Lengths(ONE, ONE, ONE, ONE, answer_tokens=ONE)
FACTS = DatasetFacts(frozenset({Kind.CHAT}), {"train": 160, "validation": 40}, lengths=LENGTHS)


def seconds(steps: int, speed: Speed, **fields: Any) -> float:
    """Of a job of 16 examples a step."""
    asked = Spec.model_validate(
        {
            "dataset_version": "projects/p/datasets/d/versions/v1",
            "base_model": {"preset": "tiny-text"},
            "hyperparameters": {"batch_size": 8, "gradient_accumulation_steps": 2},
            **fields,
        }
    )
    sizes = sizes_of_preset(PRESETS["tiny-text"])
    assert sizes
    return duration_of(resolve(asked, FACTS), Work(sizes, FACTS, LENGTHS), steps, speed)


def test_steps_alone_are_told_where_no_earlier_job_told_its_evaluations() -> None:
    assert seconds(25, Speed(4.0)) == 25 * 16 / 4.0


@pytest.mark.parametrize(
    ("evaluation", "examples"),
    [
        ({"every_steps": 10}, 4 * 40),  # before, at 10 and at 20, and at the end
        ({"every_steps": 25}, 2 * 40),
        ({"every_steps": 10, "max_examples": 5}, 4 * 5),
        ({}, 4 * 40),  # once an epoch, which has ten steps
    ],
)
def test_every_evaluation_is_in_it(evaluation: dict[str, int], examples: int) -> None:
    found = seconds(25, Speed(4.0, evaluated=2.0), evaluation=evaluation)
    assert found == 25 * 16 / 4.0 + examples / 2.0


def test_the_first_evaluation_counts_by_its_own_speed() -> None:
    found = seconds(25, Speed(4.0, evaluated=2.0, first_evaluated=0.5), evaluation={"every_steps": 10})
    assert found == 25 * 16 / 4.0 + 40 / 0.5 + 3 * 40 / 2.0


def test_a_job_that_goes_on_counts_from_where_it_does() -> None:
    checkpoint = "projects/p/trainingJobs/j/checkpoints/step-15"
    resumed = {"checkpoint": checkpoint, "step": 15, "data_start_step": 0}
    found = seconds(10, Speed(4.0, evaluated=2.0), evaluation={"every_steps": 10}, resume_from=resumed)
    # Before its first step, at 20, and at 25.
    assert found == 10 * 16 / 4.0 + 3 * 40 / 2.0


def test_after_the_last_step_none_is_to_come() -> None:
    assert [evaluations_after(step, 30, 10) for step in (0, 9, 10, 29, 30)] == [3, 3, 2, 1, 0]
