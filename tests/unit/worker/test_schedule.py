"""The learning rate of every step."""

import pytest
from visiontune_recipes.spec import Schedule
from visiontune_worker.schedule import factor


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
