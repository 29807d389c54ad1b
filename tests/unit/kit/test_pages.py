"""Page sizes and tokens."""

from datetime import UTC, datetime

import pytest
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune_kit import pages


def request(**fields: object) -> pb.ListObjectsRequest:
    return pb.ListObjectsRequest(parent="projects/p", **fields)  # type: ignore[arg-type]  # names vary


def test_a_token_leads_back_to_its_position() -> None:
    token = pages.encode(request(), ["2026-01-01", 7])
    assert pages.decode(request(page_token=token), token) == ["2026-01-01", 7]


def test_the_page_size_may_change_between_pages() -> None:
    token = pages.encode(request(page_size=5), [3])
    assert pages.decode(request(page_size=50, page_token=token), token) == [3]


def test_no_token_means_the_first_page() -> None:
    assert pages.decode(request(), "") is None


@pytest.mark.parametrize("token", ["x", "%%%", "bnVsbA", "W10", "ü", "W1tb" * 100_000])
def test_a_token_of_nobody_is_refused(token: str) -> None:
    with pytest.raises(pages.InvalidPageToken):
        pages.decode(request(), token)


def test_a_token_of_another_request_is_refused() -> None:
    token = pages.encode(request(owner="projects/p/datasets/a"), [3])
    with pytest.raises(pages.InvalidPageToken):
        pages.decode(request(owner="projects/p/datasets/b"), token)


def test_a_place_in_time_comes_back_in_utc() -> None:
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert pages.time_and_name(["2026-01-01T14:00:00+02:00", "a"]) == (at, "a")
    assert pages.time_and_name(None) is None


@pytest.mark.parametrize(
    "position",
    [
        [],
        [7],
        ["2026-01-01T14:00:00+00:00"],
        ["yesterday", "a"],
        ["2026-01-01T14:00:00", "a"],
        ["0001-01-01T00:00:00+14:00", "a"],
        [1, "a"],
        ["2026-01-01T14:00:00+00:00", 2],
        ["2026-01-01T14:00:00+00:00", {}],
        ["2026-01-01T14:00:00+00:00", "a\0"],
        ["2026-01-01T14:00:00+00:00", "\ud800"],
        ["2026-01-01T14:00:00+00:00", "a", "b"],
    ],
)
def test_a_made_up_place_in_time_is_refused(position: list[str | int]) -> None:
    with pytest.raises(pages.InvalidPageToken):
        pages.time_and_name(position)


def test_a_number_comes_back() -> None:
    assert pages.number([7]) == 7
    assert pages.number(None) is None


@pytest.mark.parametrize("position", [[], ["7"], [-1], [2**63], [1.5], [1, 2], [None]])
def test_a_made_up_number_is_refused(position: list[str | int]) -> None:
    with pytest.raises(pages.InvalidPageToken):
        pages.number(position)


@pytest.mark.parametrize(("asked", "given"), [(0, 50), (7, 7), (5_000, 1_000)])
def test_sizes_are_coerced(asked: int, given: int) -> None:
    assert pages.clamp(asked, default=50, most=1_000) == given
