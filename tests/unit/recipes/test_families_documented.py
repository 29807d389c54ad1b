"""Each family has a page, in the index too, that names its presets."""

from pathlib import Path

import pytest
from visiontune_recipes.families import FAMILIES, Family

FOLDER = Path("docs/families")


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES.keys())
def test_a_family_has_a_page(family: Family) -> None:
    page = (FOLDER / f"{family.name}.md").read_text(encoding="utf-8")
    assert f"({family.name}.md)" in (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [preset.name for preset in family.presets if f"`{preset.name}`" not in page] == []
