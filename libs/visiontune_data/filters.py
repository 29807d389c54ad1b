r"""Filters of examples, in the style of AIP-160, as text and as conditions.

    split = validation AND (tags:night OR width >= 1024) AND NOT has:problems

Conditions are joined by AND, OR and NOT; next to each other means AND. AND and OR are mixed only with
parentheses. A value with other characters than letters, digits and `-_./` stands in double quotes, in which
`\"` is a quote and `\\` a backslash. docs/filters.md lists the fields.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from visiontune_data.rules import RULES
from visiontune_data.splits import SPLIT_NAMES
from visiontune_data.text import shorten

_MOST_DEPTH: Final = 20
_TOKEN = re.compile(r'\s*(?:(?P<sign>[()])|(?P<operator><=|>=|!=|[=<>:])|(?P<quoted>"(?:[^"\\]|\\.)*")|'
                    r'(?P<word>[^\s()=<>!:"]+))')  # fmt: skip
_KEYWORDS: Final = frozenset({"AND", "OR", "NOT"})


class FilterError(ValueError):
    """A filter that cannot be read; the message says where and what to write instead."""


class Type(StrEnum):
    """What a field holds."""

    TEXT = "text"
    NUMBER = "a number"
    FLAG = "true or false"


@dataclass(frozen=True, slots=True)
class Field:
    """A field that conditions can name. `values` are the only ones there are; empty means any."""

    type: Type
    operators: tuple[str, ...]
    values: tuple[str, ...] = ()


_NUMBERS: Final = ("=", "!=", "<", "<=", ">", ">=")
FIELDS: Final[Mapping[str, Field]] = {
    "id": Field(Type.TEXT, ("=", "!=", ":")),
    "split": Field(Type.TEXT, ("=", "!="), SPLIT_NAMES),
    "tags": Field(Type.TEXT, (":",)),
    "text": Field(Type.TEXT, (":",)),
    "answer": Field(Type.TEXT, ("=", "!=", ":")),
    "problem": Field(Type.TEXT, ("=", "!="), tuple(RULES)),
    "has": Field(Type.TEXT, (":",), ("images", "tags", "problems")),
    "duplicate": Field(Type.FLAG, ("=",)),
    "format": Field(Type.TEXT, ("=", "!="), ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")),
    "images": Field(Type.NUMBER, _NUMBERS),
    "width": Field(Type.NUMBER, _NUMBERS),
    "height": Field(Type.NUMBER, _NUMBERS),
    "size_bytes": Field(Type.NUMBER, _NUMBERS),
    "brightness": Field(Type.NUMBER, _NUMBERS),
}


@dataclass(frozen=True, slots=True)
class Compare:
    """One condition; `value` is of the field's type."""

    field: str
    operator: str
    value: str | float | bool


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds; without parts always true."""

    parts: "tuple[Condition, ...]" = ()


@dataclass(frozen=True, slots=True)
class Any:
    """One of the parts holds."""

    parts: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: "Condition"


Condition = Compare | All | Any | Not


def parse(text: str) -> Condition:
    """The condition that `text` states; blank text is always true. Raises FilterError."""
    parser = _Parser(text, _tokens(text))
    if parser.peek() is None:
        return All()
    condition = parser.conditions(0)
    if (rest := parser.peek()) is not None:
        raise parser.error(rest, 'nothing to close: remove the ")"')
    return condition


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def _tokens(text: str) -> list[_Token]:
    tokens, position, end = [], 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            start = position + len(text[position:]) - len(text[position:].lstrip())
            hint = "the quote is not closed" if text[start] == '"' else 'put it in double quotes: "…"'
            raise FilterError(f'at character {start + 1}, "{shorten(text[start:], 20)}": {hint}')
        kind = str(match.lastgroup)
        tokens.append(_Token(kind, match[kind], match.start(kind)))
        position = match.end()
    return tokens


class _Parser:
    """Recursive descent over the tokens."""

    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self._text, self._tokens, self._at = text, tokens, 0

    def peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def take(self, expected: str) -> _Token:
        """The next token. Raises FilterError at the end."""
        token = self.peek()
        if token is None:
            raise FilterError(f"at the end: {expected}")
        self._at += 1
        return token

    def error(self, token: _Token, what: str) -> FilterError:
        return FilterError(f'at character {token.position + 1}, "{shorten(token.text, 20)}": {what}')

    def conditions(self, depth: int) -> Condition:
        """Conditions joined by AND or by OR, until the end or a closing parenthesis."""
        parts, joined_by = [self.one(depth)], ""
        while (token := self.peek()) is not None and token.text != ")":
            joint = token.text if _is_keyword(token) and token.text != "NOT" else "AND"
            if joint == token.text:
                self._at += 1
            if joined_by and joint != joined_by:
                raise self.error(token, "write parentheses around what belongs together: a AND (b OR c)")
            joined_by = joint
            parts.append(self.one(depth))
        if len(parts) == 1:
            return parts[0]
        return Any(tuple(parts)) if joined_by == "OR" else All(tuple(parts))

    def one(self, depth: int) -> Condition:
        token = self.take("a condition is missing, for example split = train")
        if depth > _MOST_DEPTH:
            raise self.error(token, f"more than {_MOST_DEPTH} conditions inside each other")
        if token.text == "NOT" and _is_keyword(token):
            return Not(self.one(depth + 1))
        if token.kind == "sign" and token.text == "(":
            inner = self.conditions(depth + 1)
            if (close := self.take('a ")" is missing')).text != ")":
                raise self.error(close, 'a ")" is missing')  # pragma: no cover (conditions() ends at one)
            return inner
        if token.kind != "word" or _is_keyword(token):
            raise self.error(token, "a condition is missing, for example split = train")
        return self.compare(token)

    def compare(self, name: _Token) -> Compare:
        field = FIELDS.get(name.text)
        if field is None:
            raise self.error(name, f'no such field; there are {", ".join(FIELDS)}. Search texts by text:"…"')
        operator = self.take(f"{name.text} wants one of {' '.join(field.operators)} and a value")
        if operator.kind != "operator" or operator.text not in field.operators:
            raise self.error(operator, f"{name.text} wants one of {' '.join(field.operators)}")
        value = self.take(f"{name.text} {operator.text} wants a value")
        if value.kind not in {"word", "quoted"}:
            raise self.error(value, f"{name.text} {operator.text} wants a value")
        return Compare(name.text, operator.text, self.value(value, field))

    def value(self, token: _Token, field: Field) -> str | float | bool:
        text = token.text
        if token.kind == "quoted":
            text = re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
        if field.type is Type.FLAG:
            if text not in {"true", "false"}:
                raise self.error(token, "write true or false")
            return text == "true"
        if field.type is Type.NUMBER:
            if not re.fullmatch(r"-?\d{1,15}(\.\d{1,6})?", text):
                raise self.error(token, "write a number, for example 512")
            return float(text)
        if field.values and text not in field.values:
            known = ", ".join(field.values) if len(field.values) < 10 else "see docs/rules.md"
            raise self.error(token, f"no such value ({known})")
        return text


def _is_keyword(token: _Token) -> bool:
    return token.kind == "word" and token.text in _KEYWORDS
