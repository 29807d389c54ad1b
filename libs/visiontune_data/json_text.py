"""One JSON value, parsed as strictly as what comes after it needs: Arrow, SQL and training."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from visiontune_data.limits import Limits
from visiontune_data.report import Place, Problem
from visiontune_data.text import shorten

_INT64 = 2**63
_LONGEST_INT = 40
_AROUND_ERROR = 20
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_SUSPECT = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


class _Suspicions:
    """What the parser's hooks saw while the value was built; where it was is found afterwards."""

    def __init__(self) -> None:
        self.duplicate_keys: list[tuple[dict[str, Any], str]] = []
        self.numbers = False

    def clear(self) -> None:
        self.duplicate_keys = []
        self.numbers = False

    def pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            counts = Counter(key for key, _ in pairs)
            repeated = next(key for key, count in counts.items() if count > 1)
            self.duplicate_keys.append((value, repeated))
        return value

    def constant(self, name: str) -> float:
        self.numbers = True
        return math.nan if name == "NaN" else math.inf

    def float(self, text: str) -> float:
        value = float(text)
        self.numbers = self.numbers or math.isinf(value)
        return value

    def int(self, text: str) -> int:
        value = int(text) if len(text) <= _LONGEST_INT else _INT64
        self.numbers = self.numbers or not -_INT64 <= value < _INT64
        return value


class Decoder:
    """Parses values one after another, and says at which path each breaks a rule."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._seen = _Suspicions()
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._seen.pairs,
            parse_constant=self._seen.constant,
            parse_float=self._seen.float,
            parse_int=self._seen.int,
        )

    def parse(self, text: str, start: int = 0) -> tuple[Any, int]:
        """The value at `start` and where it ends. Raises json.JSONDecodeError, RecursionError."""
        self._seen.clear()
        return self._decoder.raw_decode(text, start)

    def problem(self, value: Any, text: str, place: Place) -> Problem | None:
        """The first rule that the value just parsed from `text` breaks; `place` has its path."""
        seen = self._seen
        deep = text.count("{") + text.count("[") > self._limits.json_depth
        if not (seen.duplicate_keys or seen.numbers or deep or _ESCAPED_SUSPECT.search(text)):
            return None
        return next(self._walk(value, place, place.json_path or "$", 1), None)

    def _walk(self, value: Any, place: Place, path: str, depth: int) -> Iterator[Problem]:
        here = place.at(path)
        if depth > self._limits.json_depth:
            yield too_deep(place.at(path[:200]), self._limits)
        elif isinstance(value, dict):
            yield from self._key_problems(value, here)
            for key, child in value.items():
                yield from self._walk(child, place, f"{path}.{key}", depth + 1)
        elif isinstance(value, list):
            for index, child in enumerate(value):
                yield from self._walk(child, place, f"{path}[{index}]", depth + 1)
        elif isinstance(value, str):
            yield from _text_problems(value, here)
        elif isinstance(value, int | float):
            yield from _number_problems(value, here)

    def _key_problems(self, value: dict[str, Any], place: Place) -> Iterator[Problem]:
        for owner, key in self._seen.duplicate_keys:
            if owner is value:
                shown = shorten(key)
                yield Problem("json-duplicate-key", place, f'the key "{shown}" is there twice', shown)
        for key in value:
            yield from _text_problems(key, place)


def _number_problems(value: float, place: Place) -> Iterator[Problem]:
    if isinstance(value, float) and not math.isfinite(value):
        yield Problem("json-nonfinite", place, f"the number is {value}", str(value))
    elif isinstance(value, int) and not -_INT64 <= value < _INT64:
        yield Problem("json-bigint", place, "the integer does not fit 64 bits")


def _text_problems(text: str, place: Place) -> Iterator[Problem]:
    if "\0" in text:
        yield Problem("json-nul", place, "the text contains U+0000", shorten(text))
    if found := _SURROGATE.search(text):
        yield Problem(
            "json-surrogate",
            place,
            f"the text contains half of a pair, U+{ord(found[0]):04X}",
            ascii(found[0]),
        )


def too_deep(place: Place, limits: Limits) -> Problem:
    """The problem of a value nested deeper than the limit."""
    return Problem("json-depth", place, f"the record is nested deeper than {limits.json_depth} levels")


def syntax_problem(error: json.JSONDecodeError, place: Place, column: int) -> Problem:
    """The problem of text that is not JSON: what was expected, the column, and the text around it."""
    around = error.doc[max(0, error.pos - _AROUND_ERROR) : error.pos + _AROUND_ERROR]
    reason = error.msg[:1].lower() + error.msg[1:].partition(":")[0].rstrip()
    return Problem(
        "json-syntax",
        place,
        f'not valid JSON at column {column}: {reason} near "{shorten(around)}"',
        shorten(around),
    )
