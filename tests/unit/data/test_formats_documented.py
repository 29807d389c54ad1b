"""docs/formats and the table of formats say the same."""

import json
from pathlib import Path

import pytest
from visiontune_data.formats import FORMATS, Format

FOLDER = Path("docs/formats")


def test_every_format_has_a_page_and_every_page_a_format() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.md")) == sorted({*FORMATS, "README"})
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [
        name for name, each in FORMATS.items() if f"[{name}]({name}.md) | {each.description}" not in index
    ] == []


@pytest.mark.parametrize("format_", FORMATS.values(), ids=FORMATS.keys())
def test_a_page_says_what_the_module_says(format_: Format) -> None:
    page = (FOLDER / f"{format_.name}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {format_.name}\n\n{format_.description}\n")
    assert f"Holds examples of: {', '.join(sorted(format_.kinds))}." in page
    assert f"Detected when {format_.evidence}." in page
    assert f"```\n{format_.layout}\n```" in page
    record = page.partition("```json\n")[2].partition("```")[0]
    assert json.loads(record) == json.loads(format_.example_record)


@pytest.mark.parametrize("format_", FORMATS.values(), ids=FORMATS.keys())
def test_a_page_says_what_becomes_of_every_field(format_: Format) -> None:
    page = (FOLDER / f"{format_.name}.md").read_text(encoding="utf-8")
    table = page.partition("## What becomes what\n")[2].partition("## Traps\n")[0]
    assert [field for field in format_.fields if f"`{field}`" not in table] == []
