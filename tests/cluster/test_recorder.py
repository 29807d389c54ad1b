"""What counts as an idle scheduler. Needs no control plane: runs with all other tests."""

import pytest

from tests.cluster.recorder import Place, longest_idle

ROOM = {"a": 4, "b": 4}
LONG = 100.0


def place(gpus: int, wanted_at: float, placed_at: float, freed_at: float = LONG, node: str = "a") -> Place:
    return Place(gpus, wanted_at, placed_at, freed_at, node)


def test_a_pod_that_fits_and_waits_is_idleness() -> None:
    assert longest_idle([place(4, 0.0, 3.0)], ROOM) == pytest.approx(3.0)


def test_a_pod_that_fits_nowhere_is_none() -> None:
    full = [place(3, 0.0, 0.0, LONG, node) for node in ROOM]
    assert longest_idle([*full, place(2, 1.0, 90.0, LONG, "b")], ROOM) == 0.0


def test_it_begins_when_room_is_made() -> None:
    full = [place(3, 0.0, 0.0, LONG, "a"), place(3, 0.0, 0.0, 50.0, "b")]
    assert longest_idle([*full, place(2, 1.0, 52.0, LONG, "b")], ROOM) == pytest.approx(2.0)


def test_only_the_first_that_waits_counts() -> None:
    full = [place(3, 0.0, 0.0, LONG, node) for node in ROOM]
    behind = [place(2, 1.0, 90.0, LONG, "b"), place(1, 2.0, 80.0, LONG, "a")]
    assert longest_idle([*full, *behind], ROOM) == 0.0


def test_the_next_in_line_has_its_own_time() -> None:
    assert longest_idle([place(1, 0.0, 2.0), place(1, 0.0, 3.5)], ROOM) == pytest.approx(2.0)
