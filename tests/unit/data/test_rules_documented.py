"""docs/rules.md and the table of rules say the same."""

import re
from pathlib import Path

import pytest
import visiontune_data
from visiontune_data.rules import RULES, Rule, Severity

DOCUMENT = Path("docs/rules.md").read_text(encoding="utf-8")
SECTIONS = {
    name: body.partition("\n## ")[0]
    for name, body in re.findall(r"^### `([^`]+)`\n(.*?)(?=^### |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
}
SOURCES = [path for path in Path(visiontune_data.__path__[0]).rglob("*.py") if path.name != "rules.py"]


def test_every_rule_has_one_heading_and_every_heading_a_rule() -> None:
    assert re.findall(r"^### `([^`]+)`$", DOCUMENT, re.MULTILINE) == list(RULES)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_a_section_says_severity_meaning_and_remedy(rule: Rule) -> None:
    section = SECTIONS[rule.name]
    grave = "Warning." if rule.severity is Severity.WARNING else "Error; "
    assert section.strip().startswith(grave)
    assert f"Reported when {rule.meaning}." in section
    assert rule.remedy[1:] in section


def test_every_rule_is_reported_somewhere_and_none_other() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    assert [name for name in RULES if f'"{name}"' not in text] == []
