"""The learning rate of every step, and what decays."""

import pytest
import torch
from visiontune_recipes.spec import Hyperparameters, Schedule
from visiontune_worker.schedule import factor, optimiser


def rates(schedule: Schedule, warmup: float = 0.2) -> list[float]:
    return [factor(step, total_steps=10, warmup_ratio=warmup, schedule=schedule) for step in range(10)]


def test_warm_up_rises_to_the_peak_and_starts_above_zero() -> None:
    assert rates(Schedule.CONSTANT)[:4] == pytest.approx([1 / 3, 2 / 3, 1, 1])


@pytest.mark.parametrize("schedule", [Schedule.LINEAR, Schedule.COSINE])
def test_it_falls_from_the_peak_and_never_reaches_zero_before_the_end(schedule: Schedule) -> None:
    found = rates(schedule)
    assert found[2] == 1
    assert found[2:] == sorted(found[2:], reverse=True)
    assert 0 < found[-1] < 0.2


def test_half_of_a_cosine_is_half_way_down() -> None:
    assert factor(5, total_steps=10, warmup_ratio=0, schedule=Schedule.COSINE) == pytest.approx(0.5)


def test_biases_and_norms_do_not_decay() -> None:
    weight, bias = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))
    numbers = Hyperparameters(weight_decay=0.1, learning_rate=0.5)
    groups = optimiser({"w": weight, "b": bias}, numbers).param_groups
    assert [(len(each["params"]), each["weight_decay"]) for each in groups] == [(1, 0.1), (1, 0.0)]
    assert len(optimiser({"b": bias}, numbers).param_groups) == 1
