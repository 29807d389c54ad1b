"""What the object store sent over time, and what that costs."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from visiontune_storage.domain.usage import GIB


@dataclass(frozen=True, slots=True)
class EgressHour:
    """What was sent in one hour."""

    hour: datetime  # its start
    sent_bytes: int  # by the store, for the bucket
    own_bytes: int  # of them to storage itself


@dataclass(frozen=True, slots=True)
class Egress:
    """The answer to GetEgress."""

    sent_bytes: int
    cost: float | None
    days: list[tuple[datetime, int]]  # when the day began, and bytes


def grown(before: int | None, now: int) -> int:
    """How far a counter rose since it was seen last; one that fell began anew with its server.

    What it said when it was first seen (`before` is None) was sent before anybody counted.
    """
    if before is None:
        return 0
    return now - before if now >= before else now


def egress_of(hours: Iterable[EgressHour], price_per_gib: float | None) -> Egress:
    """Sums up."""
    days: defaultdict[datetime, int] = defaultdict(int)
    for each in hours:
        days[each.hour.astimezone(UTC).replace(hour=0)] += each.sent_bytes - each.own_bytes
    # Our own bytes may be noted in the hour before the store's count of them is seen.
    found = [(start, max(0, size)) for start, size in sorted(days.items())]
    total = sum(size for _, size in found)
    return Egress(total, None if price_per_gib is None else total / GIB * price_per_gib, found)
