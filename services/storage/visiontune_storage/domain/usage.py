"""What projects keep over time, by kind of owner, and what that costs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from visiontune_storage.domain.failures import SpanBackwards

GIB = 1024**3
HOURS_A_MONTH = 730
MOST_OWNERS = 100
T = TypeVar("T", "KindUsage", "Kept")
DEFAULT_SPAN = timedelta(days=30)
KEEP = timedelta(days=400)


class OwnerKind(StrEnum):
    """On whose behalf bytes are kept."""

    UPLOAD = "upload"
    DATASET = "dataset"
    JOB = "job"
    MODEL = "model"
    OTHER = "other"


# By the collection that follows the project in an owner's name.
COLLECTIONS: Mapping[str, OwnerKind] = {
    "uploads": OwnerKind.UPLOAD,
    "datasets": OwnerKind.DATASET,
    "trainingJobs": OwnerKind.JOB,
    "models": OwnerKind.MODEL,
}


@dataclass(frozen=True, slots=True)
class Kept:
    """What one owner keeps now."""

    owner: str  # resource name
    size_bytes: int
    object_count: int

    @property
    def kind(self) -> OwnerKind:
        """By the owner's name."""
        return COLLECTIONS.get(self.owner.split("/")[2], OwnerKind.OTHER)

    @property
    def resource(self) -> str:
        """`projects/p/datasets/d` of `projects/p/datasets/d/imports/i`."""
        return "/".join(self.owner.split("/")[:4])


@dataclass(frozen=True, slots=True)
class Sample:
    """What a project kept for one kind of owner, in one hour."""

    project: str
    hour: datetime  # its start
    kind: OwnerKind
    size_bytes: int
    object_count: int


@dataclass(frozen=True, slots=True)
class Day:
    """One day of one kind of owner: the most that was counted, and its sum over the hours."""

    start: datetime
    kind: OwnerKind
    size_bytes: int
    object_count: int
    gib_hours: float


@dataclass(frozen=True, slots=True)
class KindUsage:
    """What one kind of owner keeps now, and what that came to."""

    kind: OwnerKind
    size_bytes: int = 0
    object_count: int = 0
    gib_hours: float = 0.0
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """The answer to GetUsage."""

    kinds: list[KindUsage]
    owners: list[Kept]  # resources, largest first, without uploads
    days: list[Day]


def hour_of(at: datetime) -> datetime:
    """The start of the hour."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def span_of(start: datetime | None, end: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """The span to look at. Raises SpanBackwards."""
    end = min(end or now, now)
    start = max(start or end - DEFAULT_SPAN, end - KEEP)
    if start >= end:
        raise SpanBackwards
    return start, end


def usage_of(kept: Iterable[Kept], samples: Iterable[Sample], price_per_gib_month: float | None) -> Usage:
    """Sums up. A sample stands for its whole hour."""
    kinds: dict[OwnerKind, KindUsage] = {}
    resources: dict[str, Kept] = {}
    for each in kept:
        kinds[each.kind] = _more(kinds.get(each.kind, KindUsage(each.kind)), each)
        if each.kind is not OwnerKind.UPLOAD:
            resources[each.resource] = _more(resources.get(each.resource, Kept(each.resource, 0, 0)), each)
    days = _days(samples)
    for day in days:
        usage = kinds.get(day.kind, KindUsage(day.kind))
        kinds[day.kind] = replace(usage, gib_hours=usage.gib_hours + day.gib_hours)
    if price_per_gib_month is not None:
        hourly = price_per_gib_month / HOURS_A_MONTH
        kinds = {kind: replace(each, cost=each.gib_hours * hourly) for kind, each in kinds.items()}
    return Usage(
        [kinds[kind] for kind in OwnerKind if kind in kinds],
        sorted(resources.values(), key=lambda each: (-each.size_bytes, each.owner))[:MOST_OWNERS],
        days,
    )


def _more(usage: T, kept: Kept) -> T:
    return replace(
        usage,
        size_bytes=usage.size_bytes + kept.size_bytes,
        object_count=usage.object_count + kept.object_count,
    )


def _days(samples: Iterable[Sample]) -> list[Day]:
    by_day: defaultdict[tuple[datetime, OwnerKind], list[Sample]] = defaultdict(list)
    for each in samples:
        by_day[each.hour.astimezone(UTC).replace(hour=0), each.kind].append(each)
    return [
        Day(
            start,
            kind,
            size_bytes=max(each.size_bytes for each in found),
            object_count=max(each.object_count for each in found),
            gib_hours=sum(each.size_bytes for each in found) / GIB,
        )
        for (start, kind), found in sorted(by_day.items())
    ]
