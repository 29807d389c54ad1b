"""When a database is what a program needs."""

import pytest
from visiontune_kit.migrations import is_served

KNOWN = {"0001", "0002"}


@pytest.mark.parametrize(
    ("at", "served"),
    [
        (None, False),  # empty
        ("0001", False),  # a release behind
        ("0002", True),
        ("0003", True),  # of the next release, which rolls out while this one still serves
    ],
)
def test_a_program_waits_for_its_own_schema_and_bears_a_newer_one(at: str | None, served: bool) -> None:
    assert is_served(at, "0002", KNOWN) is served
