"""Fetching ahead changes when, and nothing else."""

import threading

import pytest
from visiontune_data.ahead import FetchAhead
from visiontune_data.foreign import NotFetched


def test_what_is_expected_is_fetched_once_and_kept_within_bounds() -> None:
    fetched: list[str] = []
    two_began = threading.Event()

    def fetch(url: str) -> bytes:
        fetched.append(url)
        if len(fetched) >= 2:
            two_began.set()
        return url.encode()

    with FetchAhead(fetch, at_once=2) as ahead:
        ahead.expect(["a", "b", "c", "a", "d"])
        assert two_began.wait(10)
        assert ahead.is_busy
        assert set(fetched) <= {"a", "b"}  # the others have no room until these were asked for
        assert [ahead(url) for url in ("a", "b", "c", "d", "e")] == [b"a", b"b", b"c", b"d", b"e"]
    assert sorted(fetched) == ["a", "b", "c", "d", "e"]


def test_a_failure_comes_when_it_is_asked_for() -> None:
    def fetch(url: str) -> bytes:
        raise NotFetched("image-url-failed", url)

    with FetchAhead(fetch) as ahead:
        ahead.expect(["a"])
        with pytest.raises(NotFetched, match="a"):
            ahead("a")
        with pytest.raises(NotFetched, match="b"):
            ahead("b")


def test_what_was_never_asked_for_ends_with_it() -> None:
    begun = threading.Event()

    def fetch(url: str) -> bytes:
        begun.set()
        return b""

    with FetchAhead(fetch, at_once=1) as ahead:
        ahead.expect(["a", "b"])
        assert begun.wait(10)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fetch")]
