"""Filters: what they may say, and the places in those that cannot be read."""

import pytest
from visiontune_data.filters import All, Any, Compare, FilterError, Not, parse

TRAIN = Compare("split", "=", "train")
WIDE = Compare("width", ">", 100.0)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("", All()),
        ("  ", All()),
        ("split = train", TRAIN),
        ("split=train", TRAIN),
        ("split = train width > 100", All((TRAIN, WIDE))),
        ("split=train AND width>100", All((TRAIN, WIDE))),
        ("split=train OR (NOT width>100)", Any((TRAIN, Not(WIDE)))),
        ("NOT NOT (split = train)", Not(Not(TRAIN))),
        (r'answer = "a \"b\" (c)"', Compare("answer", "=", 'a "b" (c)')),
        ("tags:AND-gate", Compare("tags", ":", "AND-gate")),
        ("duplicate = true", Compare("duplicate", "=", True)),
        ("size_bytes <= 1.5", Compare("size_bytes", "<=", 1.5)),
        ('answer = "AND"', Compare("answer", "=", "AND")),
    ],
)
def test_a_filter_means(text: str, condition: object) -> None:
    assert parse(text) == condition


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("split", "at the end: split wants one of = != and a value"),
        ("split =", "at the end: split = wants a value"),
        ("split : train", 'at character 7, ":": split wants one of = !='),
        ("split = tset", 'at character 9, "tset": no such value (train, validation, test)'),
        ("problem = blurry", 'at character 11, "blurry": no such value (see docs/rules.md)'),
        ("width > wide", 'at character 9, "wide": write a number, for example 512'),
        ("width > nan", 'at character 9, "nan": write a number, for example 512'),
        ("duplicate = yes", 'at character 13, "yes": write true or false'),
        ("colour = red", 'at character 1, "colour": no such field; there are id, split'),
        ("cat", 'Search texts by text:"…"'),
        ("(split = train", 'at the end: a ")" is missing'),
        ("split = train)", 'at character 14, ")": nothing to close'),
        ("()", 'at character 2, ")": a condition is missing'),
        ("split = train AND", "at the end: a condition is missing, for example split = train"),
        ("AND", 'at character 1, "AND": a condition is missing'),
        ("split = (", 'at character 9, "(": split = wants a value'),
        (
            "id:a AND id:b OR id:c",
            'at character 15, "OR": write parentheses around what belongs together: a AND (b OR c)',
        ),
        ('id = "a', 'at character 6, ""a": the quote is not closed'),
        ("id ! a", 'at character 4, "! a": put it in double quotes'),
        ("(" * 30, 'at character 22, "(": more than 20 conditions inside each other'),
        ("NOT " * 30 + "id:a", "more than 20 conditions inside each other"),
    ],
)
def test_what_cannot_be_read_says_where(text: str, complaint: str) -> None:
    with pytest.raises(FilterError) as refused:
        parse(text)
    assert complaint in str(refused.value)
