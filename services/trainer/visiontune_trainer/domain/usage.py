"""How long machines held accelerators, and what that sums up to."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class MachineTime:
    """One machine's time with an attempt, by the machine's own clock."""

    machine: str  # unique for all time, so that seeing one twice counts once
    project: str
    job: str
    attempt: int
    accelerator: str
    accelerator_count: int
    price_per_hour: float | None  # of one accelerator; None where the operator gave none
    started_at: datetime
    ended_at: datetime | None = None  # None while it holds them
    is_estimated: bool = False  # nobody saw its end

    def hours_between(self, start: datetime, end: datetime) -> float:
        """Accelerator hours within a span; a machine that still runs counts up to its end."""
        since, until = max(self.started_at, start), min(self.ended_at or end, end)
        return max(0.0, (until - since).total_seconds()) * self.accelerator_count / 3600


@dataclass(frozen=True, slots=True)
class Sum:
    """Accelerator hours of one kind."""

    accelerator: str
    hours: float
    cost: float | None  # None when a part of it has no price
    estimated_hours: float  # part of `hours` whose end nobody saw


def sums_of(times: Iterable[MachineTime], start: datetime, end: datetime) -> list[Sum]:
    """Sums by accelerator, in order of its name."""
    of_kind: defaultdict[str, list[MachineTime]] = defaultdict(list)
    for time in times:
        of_kind[time.accelerator].append(time)
    return [_sum(name, of_kind[name], start, end) for name in sorted(of_kind)]


def _sum(accelerator: str, times: list[MachineTime], start: datetime, end: datetime) -> Sum:
    hours = [(time, time.hours_between(start, end)) for time in times]
    has_prices = all(time.price_per_hour is not None for time in times)
    return Sum(
        accelerator,
        sum(each for _, each in hours),
        sum(each * (time.price_per_hour or 0.0) for time, each in hours) if has_prices else None,
        sum(each for time, each in hours if time.is_estimated),
    )
