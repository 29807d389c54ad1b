"""When links to pictures end."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from visiontune_dataset.domain.links import ends_at

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("minutes", "ends"), [(0, "13:00"), (1, "13:30"), (30, "13:30"), (31, "14:00"), (59, "14:00")]
)
def test_links_of_half_an_hour_end_together(minutes: int, ends: str) -> None:
    assert f"{ends_at(NOON + timedelta(minutes=minutes), HOUR):%H:%M}" == ends


@given(st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1)), st.integers(60, 604_800))  # noqa: DTZ001
def test_they_work_as_long_as_asked_and_less_than_half_as_long_again(at: datetime, ttl_s: int) -> None:
    now, ttl = at.replace(tzinfo=UTC), timedelta(seconds=ttl_s)
    assert ttl <= ends_at(now, ttl) - now < ttl * 1.5
