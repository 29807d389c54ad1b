"""The arithmetic of quotas."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from visiontune_storage.domain.alerts import watched
from visiontune_storage.domain.failures import (
    OwnerOutsideProject,
    QuotaExceeded,
    StaleEtag,
    TooManyObjects,
    TooManyUploads,
)
from visiontune_storage.domain.objects import check_owner
from visiontune_storage.domain.quotas import Quota

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100), st.integers(1, 100))
def test_a_reservation_fits_or_is_refused(limit: int, used: int, reserved: int, wanted: int) -> None:
    quota = Quota("p", limit, used, reserved)
    if used + reserved + wanted <= limit:
        assert quota.reserved(wanted).reserved_bytes == reserved + wanted
    else:
        with pytest.raises(QuotaExceeded) as refusal:
            quota.reserved(wanted)
        assert refusal.value.metadata["free_bytes"] == str(max(0, limit - used - reserved))


def test_an_upload_s_bytes_are_counted_once_from_reservation_to_deletion() -> None:
    empty = Quota("p", 100)
    assert empty.reserved(7).released(7) == empty
    kept = empty.reserved(7).settled(7)
    assert (kept.used_bytes, kept.reserved_bytes, kept.object_count, kept.free_bytes) == (7, 0, 1, 93)
    assert kept.freed(7, object_count=1) == empty


def test_a_lowered_limit_is_kept_when_an_upload_becomes_an_object() -> None:
    lowered = replace(Quota("p", 100, used_bytes=60).reserved(30), limit_bytes=89)
    with pytest.raises(QuotaExceeded) as refusal:
        lowered.settled(30)
    assert refusal.value.metadata["free_bytes"] == "29"
    assert replace(lowered, limit_bytes=90).settled(30).used_bytes == 90


def test_limits_change_with_the_right_etag_only() -> None:
    quota = Quota("p", 100)
    changed = quota.limited(quota.etag)
    assert changed.etag == "v1"
    assert changed.limited("").etag == "v2"
    with pytest.raises(StaleEtag):
        changed.limited(quota.etag)


def test_objects_and_uploads_in_flight_are_limited_too() -> None:
    quota = Quota("p", 100, object_count=2, limit_objects=4, limit_pending_uploads=3).reserved(1)
    full = quota.reserved(1)
    with pytest.raises(TooManyObjects) as objects:
        full.reserved(1)
    assert objects.value.metadata["limit_objects"] == "4"
    assert full.settled(1).object_count == 3  # what was promised is kept
    with pytest.raises(TooManyUploads) as uploads:
        replace(full, limit_pending_uploads=2).reserved(1)
    assert uploads.value.metadata["limit_pending_uploads"] == "2"
    assert full.released(1).reserved(1) == full


@settings(deadline=None)
@given(st.lists(st.integers(0, 130), min_size=1, max_size=30))
def test_each_rise_to_a_threshold_is_told_once(levels: list[int]) -> None:
    """Against a model: a threshold is told again only after use was more than 5 points below it."""
    quota, told = Quota("p", 1_000), 0
    for level in levels:
        quota, alerts = watched(replace(quota, used_bytes=10 * level), NOW)
        reached = 100 if level >= 100 else 80 if level >= 80 else 0
        assert [each.percent for each in alerts] == [each for each in (80, 100) if told < each <= reached]
        assert all((each.used, each.limit_value) == (10 * level, 1_000) for each in alerts)
        told = reached if reached > told or level < told - 5 else told


def test_a_limit_of_nothing_is_not_approached() -> None:
    assert watched(Quota("p", 0, limit_objects=0, limit_pending_uploads=0), NOW)[1] == []


@pytest.mark.parametrize("owner", ["", "projects/p/datasets/d", "projects/p/x"])
def test_owners_are_of_the_project(owner: str) -> None:
    check_owner(owner, "p", "owner")


@pytest.mark.parametrize("owner", ["projects/q/datasets/d", "projects/pp/x", "datasets/d", "projects/p"])
def test_owners_elsewhere_are_refused(owner: str) -> None:
    with pytest.raises(OwnerOutsideProject):
        check_owner(owner, "p", "upload.owner")
