"""The page on loading names the families that can what it says."""

import re
from pathlib import Path

import pytest
from visiontune_recipes.families import FAMILIES

PAGE = " ".join((Path(__file__).parents[3] / "docs" / "loading.md").read_text(encoding="utf-8").split())


@pytest.mark.parametrize(
    ("before", "names"),
    [
        ("`packed` is offered by: ", {name for name, family in FAMILIES.items() if family.packs}),
        ("a family that can: ", {name for name, family in FAMILIES.items() if family.features_before}),
    ],
)
def test_it_lists_all_of_them(before: str, names: set[str]) -> None:
    listed = re.search(rf"{re.escape(before)}([^.]*)\.", PAGE)
    assert listed is not None
    assert set(listed[1].split(", ")) == names
