"""Sums of what is kept."""

from datetime import UTC, datetime, timedelta

import pytest
from visiontune_storage.domain.failures import SpanBackwards
from visiontune_storage.domain.usage import GIB, Kept, OwnerKind, Sample, hour_of, span_of, usage_of

NOW = datetime(2026, 3, 1, 12, 34, tzinfo=UTC)


def sample(hours: int, size_bytes: int, kind: OwnerKind = OwnerKind.DATASET) -> Sample:
    return Sample("p", hour_of(NOW) + timedelta(hours=hours), kind, size_bytes, 1)


def test_a_gib_for_a_month_costs_its_price() -> None:
    samples = [sample(hour, GIB) for hour in range(730)]
    [usage] = usage_of([], samples, price_per_gib_month=0.5).kinds
    assert usage.gib_hours == 730
    assert usage.cost == pytest.approx(0.5)
    assert usage_of([], samples, None).kinds[0].cost is None


def test_days_hold_the_most_of_their_hours() -> None:
    days = usage_of([], [sample(0, 5), sample(1, 7), sample(2, 6), sample(12, 1)], None).days
    assert [(each.start.day, each.size_bytes) for each in days] == [(1, 7), (2, 1)]
    assert days[0].gib_hours * GIB == pytest.approx(18)


def test_owners_are_resources_and_uploads_are_not_among_them() -> None:
    names = ["datasets/d/imports/1", "datasets/d/imports/2", "datasets/e", "uploads/u", "trainingJobs/j/x"]
    kept = [Kept(f"projects/p/{name}", 10 + place, 1) for place, name in enumerate(names)]
    usage = usage_of(kept, [], None)
    found = [(each.owner.removeprefix("projects/p/"), each.size_bytes) for each in usage.owners]
    assert found == [("datasets/d", 21), ("trainingJobs/j", 14), ("datasets/e", 12)]
    assert [(each.kind, each.size_bytes) for each in usage.kinds] == [
        (OwnerKind.UPLOAD, 13),
        (OwnerKind.DATASET, 33),
        (OwnerKind.JOB, 14),
    ]
    assert Kept("projects/p/somethingElse/x", 1, 1).kind is OwnerKind.OTHER


def test_a_span_ends_now_and_begins_thirty_days_before_unless_it_is_said() -> None:
    assert span_of(None, None, NOW) == (NOW - timedelta(days=30), NOW)
    assert span_of(None, NOW + timedelta(days=1), NOW)[1] == NOW
    assert span_of(NOW - timedelta(days=9_999), None, NOW)[0] == NOW - timedelta(days=400)
    with pytest.raises(SpanBackwards):
        span_of(NOW, NOW, NOW)
