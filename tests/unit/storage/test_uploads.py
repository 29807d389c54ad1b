"""Decisions about uploads."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from visiontune_storage.domain import failures
from visiontune_storage.domain.uploads import (
    ALLOWED,
    MIB,
    MOST_PARTS,
    PartPlan,
    ReceivedPart,
    SigningWindow,
    State,
    Upload,
    check_content_type,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
TIB = 1024**4


def upload(size_bytes: int = 25, part_size_bytes: int = 10, state: State = State.PENDING) -> Upload:
    return Upload(
        project="p",
        id="u-1",
        filename="f",
        size_bytes=size_bytes,
        sha256="a" * 64,
        content_type="text/plain",
        owner="projects/p/datasets/d",
        key="p/k",
        part_size_bytes=part_size_bytes,
        created_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        state=state,
    )


def received(*sizes: int) -> list[ReceivedPart]:
    return [ReceivedPart(number, f"e{number}", size, NOW) for number, size in enumerate(sizes, start=1)]


@given(st.integers(1, 5 * TIB))
def test_parts_are_few_enough_for_one_reply_and_sized_as_s3_takes_them(size_bytes: int) -> None:
    part = PartPlan().part_size_for(size_bytes)
    count = -(-size_bytes // part)
    assert count <= MOST_PARTS
    assert part <= 5 * 1024 * MIB
    assert count == 1 or part >= 5 * MIB


def test_a_small_upload_is_one_part_of_its_own_size() -> None:
    assert PartPlan().part_size_for(64 * MIB) == 64 * MIB
    assert PartPlan().part_size_for(64 * MIB + 1) == 32 * MIB
    assert upload(size_bytes=10).part_count == 1
    assert upload(size_bytes=11).part_count == 2


def test_missing_parts_come_before_all_else() -> None:
    with pytest.raises(failures.PartsMissing, match=r"2 of 3 parts have not arrived: 1, 3"):
        upload().check_parts([ReceivedPart(2, "e2", 999, NOW)], {})


def test_long_lists_of_parts_are_cut() -> None:
    with pytest.raises(failures.PartsMissing, match=r"100 of 100 parts .* 20, …\."):
        upload(size_bytes=1000).check_parts([], {})


def test_named_etags_must_be_those_that_arrived() -> None:
    upload().check_parts(received(10, 10, 5), {1: "e1", 3: "e3"})
    for named in ({2: "other"}, {4: "e4"}):
        with pytest.raises(failures.PartMismatch):
            upload().check_parts(received(10, 10, 5), named)


def test_of_a_part_put_twice_the_named_then_the_fitting_then_the_latest_is_meant() -> None:
    later = NOW + timedelta(seconds=5)
    short, right, latest = (
        ReceivedPart(2, "short", 3, later),
        ReceivedPart(2, "right", 10, NOW),
        ReceivedPart(2, "latest", 10, later),
    )
    last = ReceivedPart(3, "e3", 5, NOW)
    choose = upload().chosen_parts
    assert choose([last, latest, right, short], {2: "short"}) == [short, last]
    assert choose([short, right], {}) == [right]
    assert choose([latest, right, short], {}) == [latest]
    assert choose([], {}) == []


@pytest.mark.parametrize("sizes", [(10, 10, 4), (10, 10, 6), (10, 10, 5, 1)])
def test_the_sum_of_the_parts_is_the_declared_size(sizes: tuple[int, ...]) -> None:
    with pytest.raises(failures.SizeMismatch, match="25 bytes were declared"):
        upload().check_parts(received(*sizes), {})


def test_the_digest_is_the_declared_one() -> None:
    upload().check_digest("a" * 64)
    with pytest.raises(failures.DigestMismatch, match=r"a{64} was declared, b{64} arrived"):
        upload().check_digest("b" * 64)


def test_completion_makes_the_object_that_was_declared() -> None:
    done, made = upload().completed(at=NOW)
    assert (done.state, done.version) == (State.COMPLETE, 2)
    assert made.name == done.object_name == "projects/p/objects/u-1"
    assert (made.size_bytes, made.sha256, made.owner, made.key) == (
        25,
        "a" * 64,
        "projects/p/datasets/d",
        "p/k",
    )


@pytest.mark.parametrize("state", [state for state in State if not ALLOWED[state]])
def test_what_has_ended_stays_so(state: State) -> None:
    ended = upload(state=state)
    with pytest.raises(failures.UploadNotPending):
        ended.check_pending()
    with pytest.raises(failures.UploadNotPending):
        ended.completed(at=NOW)
    with pytest.raises(failures.UploadNotPending):
        ended.expired()
    refusal = failures.UploadComplete if state is State.COMPLETE else failures.UploadNotPending
    with pytest.raises(refusal):
        ended.aborted()


def test_every_change_has_a_new_version() -> None:
    assert [upload().version, upload().started("s").version, upload().aborted().version] == [1, 2, 2]


@given(st.timedeltas(timedelta(seconds=1), timedelta(days=7)))
def test_a_signed_url_starts_in_the_past_and_never_lives_longer_than_s3_allows(ttl: timedelta) -> None:
    window = SigningWindow.of(NOW, ttl)
    assert window.start == NOW - timedelta(minutes=5)
    assert window.end <= NOW + ttl
    assert window.end - window.start <= timedelta(days=7)
    assert window.end == NOW + ttl or ttl > timedelta(days=6, hours=23, minutes=54)


@pytest.mark.parametrize(
    "content_type", ["", "image/png", "text/plain; charset=utf-8", "application/vnd.apache.parquet"]
)
def test_content_types_pass(content_type: str) -> None:
    check_content_type(content_type)


@pytest.mark.parametrize("content_type", ["png", "image/", "a/b\r\nx: y", "a/b\n", "ä/b", "a /b"])
def test_what_is_no_header_is_refused(content_type: str) -> None:
    with pytest.raises(failures.ContentTypeInvalid):
        check_content_type(content_type)
