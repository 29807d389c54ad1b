"""The bucket beside the database, page by page."""

from collections.abc import Set
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from visiontune_storage.domain.garbage import Collected, Sum, compare, scheduled, split_by_age
from visiontune_storage.domain.objects import StoredKey, StoredObject

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = st.frozensets(st.text("abc", min_size=1, max_size=4), max_size=40)


def key(name: str) -> StoredKey:
    return StoredKey(name, 1, NOW)


def stored(name: str) -> StoredObject:
    return StoredObject("p", name, name, 1, "", "", "", name, NOW)


@given(KEYS, KEYS, st.integers(1, 7))
def test_pages_find_each_difference_once(bucket: Set[str], database: Set[str], limit: int) -> None:
    strangers, absent, count, after = [], [], 0, ""
    while True:
        keys = [key(each) for each in sorted(bucket) if each > after][:limit]
        rows = [stored(each) for each in sorted(database) if each > after][:limit]
        page = compare(keys, rows, limit)
        strangers += [each.key for each in page.strangers]
        absent += [each.key for each in page.absent]
        count += page.count
        if page.next_after is None:
            break
        assert page.next_after > after
        after = page.next_after
    assert strangers == sorted(bucket - database)
    assert absent == sorted(database - bucket)
    assert count == len(bucket)


def test_what_is_as_old_as_the_grace_period_is_old() -> None:
    old, young = key("old"), StoredKey("young", 1, NOW + timedelta(seconds=1))
    assert split_by_age([old, young], NOW + timedelta(days=7), timedelta(days=7)) == ([old], [young])


def test_all_replicas_mean_the_same_scheduled_collection() -> None:
    day = timedelta(days=1)
    first = scheduled(NOW, day)
    assert scheduled(NOW + timedelta(hours=23), day).operation == first.operation
    assert scheduled(NOW + day, day).operation != first.operation
    assert first.parent == "projects/-"


def test_no_more_than_100_missing_objects_are_named() -> None:
    found = Collected()
    for _ in range(3):
        found = found.with_missing([stored(f"k{number}") for number in range(60)])
    assert (found.missing, len(found.missing_objects)) == (Sum(180, 180), 100)
