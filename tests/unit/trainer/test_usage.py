"""Accelerator hours and their sums."""

import pytest
from visiontune_trainer.domain.usage import MachineTime, Sum, sums_of

from tests.support.trainer_values import JOB, NOW, at


def machine(
    start_s: float, end_s: float | None, *, count: int = 1, price: float | None = 2.0, estimated: bool = False
) -> MachineTime:
    end = None if end_s is None else at(end_s)
    name = f"m-{start_s}-{end_s}"
    return MachineTime(name, "default", JOB, 1, "nvidia-l4", count, price, at(start_s), end, estimated)


@pytest.mark.parametrize(
    ("start_s", "end_s", "hours"),
    [(0, 3600, 1.0), (1800, 3600, 0.5), (0, 1800, 0.5), (3600, 7200, 0.0), (-3600, 7200, 1.0)],
)
def test_only_hours_within_the_span_count(start_s: float, end_s: float, hours: float) -> None:
    assert machine(0, 3600).hours_between(at(start_s), at(end_s)) == hours


def test_a_machine_that_runs_counts_up_to_now_and_each_accelerator_counts() -> None:
    assert machine(0, None, count=4).hours_between(NOW, at(1800)) == 2.0


def test_sums_are_by_accelerator_with_cost_and_what_was_guessed() -> None:
    times = [machine(0, 3600), machine(0, 1800, count=2, estimated=True)]
    assert sums_of(times, NOW, at(7200)) == [Sum("nvidia-l4", 2.0, 4.0, 1.0)]


def test_a_price_that_is_missing_leaves_the_cost_open() -> None:
    (found,) = sums_of([machine(0, 3600), machine(1, 3600, price=None)], NOW, at(7200))
    assert found.cost is None


def test_nothing_used_sums_up_to_nothing() -> None:
    assert sums_of([], NOW, at(1)) == []
