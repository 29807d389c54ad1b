"""The arithmetic of quotas."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from visiontune_storage.domain.failures import OwnerOutsideProject, QuotaExceeded, StaleEtag
from visiontune_storage.domain.objects import check_owner
from visiontune_storage.domain.quotas import Quota


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
    lowered = Quota("p", 100, used_bytes=60).reserved(30).limited(89, "")
    with pytest.raises(QuotaExceeded) as refusal:
        lowered.settled(30)
    assert refusal.value.metadata["free_bytes"] == "29"
    assert lowered.limited(90, "").settled(30).used_bytes == 90


def test_limits_change_with_the_right_etag_only() -> None:
    quota = Quota("p", 100)
    changed = quota.limited(50, quota.etag)
    assert (changed.limit_bytes, changed.etag) == (50, "v1")
    assert changed.limited(60, "").limit_bytes == 60
    with pytest.raises(StaleEtag):
        changed.limited(60, quota.etag)


@pytest.mark.parametrize("owner", ["", "projects/p/datasets/d", "projects/p/x"])
def test_owners_are_of_the_project(owner: str) -> None:
    check_owner(owner, "p", "owner")


@pytest.mark.parametrize("owner", ["projects/q/datasets/d", "projects/pp/x", "datasets/d", "projects/p"])
def test_owners_elsewhere_are_refused(owner: str) -> None:
    with pytest.raises(OwnerOutsideProject):
        check_owner(owner, "p", "upload.owner")
