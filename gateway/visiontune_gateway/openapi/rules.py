"""protovalidate's rules of a field as JSON Schema keywords."""

from collections.abc import Mapping
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration

_BOUNDS = {"gt": "exclusiveMinimum", "gte": "minimum", "lt": "exclusiveMaximum", "lte": "maximum"}
_WORDS = {"gt": "above", "gte": "at least", "lt": "below", "lte": "at most"}
_TEXT = {"min_len": "minLength", "max_len": "maxLength", "pattern": "pattern"}
_LISTS = {"min_items": "minItems", "max_items": "maxItems"}
_NUMBERS = ("float", "double", "int32", "uint32", "sint32", "fixed32", "sfixed32")
_LONG_NUMBERS = ("int64", "uint64", "sint64", "fixed64", "sfixed64")


def of(field: FieldDescriptor) -> validate_pb2.FieldRules:
    """Returns the field's rules, empty when it has none."""
    return field.GetOptions().Extensions[validate_pb2.field]


def keywords(rules: validate_pb2.FieldRules) -> Mapping[str, Any]:
    """Returns the keywords that say the same; what JSON Schema cannot say is left to `in_words`."""
    kind = rules.WhichOneof("type")
    if kind is None:
        return {}
    typed = getattr(rules, kind)
    if kind in _NUMBERS:
        return _given(typed, _BOUNDS)
    if kind == "string":
        uuid = {"format": "uuid"} if typed.WhichOneof("well_known") == "uuid" else {}
        return {**_given(typed, _TEXT), **uuid}
    if kind == "repeated":
        return _given(typed, _LISTS)
    return {}


def in_words(rules: validate_pb2.FieldRules) -> str:
    """Returns the bounds of 64-bit numbers and durations, which are strings in JSON, as a sentence."""
    kind = rules.WhichOneof("type")
    if kind is None or not (kind in _LONG_NUMBERS or kind == "duration"):
        return ""
    given = _given(getattr(rules, kind), _WORDS)
    bounds = " and ".join(f"{word} {_shown(value)}" for word, value in given.items())
    return f"Must be {bounds}." if bounds else ""


def _given(typed: Any, names: Mapping[str, str]) -> dict[str, Any]:
    return {name: getattr(typed, key) for key, name in names.items() if typed.HasField(key)}


def _shown(value: int | Duration) -> str:
    return f"{value.ToTimedelta().total_seconds():,.0f} s" if isinstance(value, Duration) else f"{value:,}"
