"""Page sizes and tokens."""

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


@pytest.mark.parametrize("token", ["x", "%%%", "bnVsbA", "W10"])
def test_a_token_of_nobody_is_refused(token: str) -> None:
    with pytest.raises(pages.InvalidPageToken):
        pages.decode(request(), token)


def test_a_token_of_another_request_is_refused() -> None:
    token = pages.encode(request(owner="projects/p/datasets/a"), [3])
    with pytest.raises(pages.InvalidPageToken):
        pages.decode(request(owner="projects/p/datasets/b"), token)


@pytest.mark.parametrize(("asked", "given"), [(0, 50), (7, 7), (5_000, 1_000)])
def test_sizes_are_coerced(asked: int, given: int) -> None:
    assert pages.clamp(asked, default=50, most=1_000) == given
