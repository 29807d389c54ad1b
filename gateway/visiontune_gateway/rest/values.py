"""Single values: what a field expects, in words, and how text and JSON become it."""

import difflib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

_SHOWN_CHARS = 60

_WHOLE_NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32: "a whole number from -2147483648 to 2147483647",
    FieldDescriptor.CPPTYPE_UINT32: "a whole number from 0 to 4294967295",
    FieldDescriptor.CPPTYPE_INT64: "a whole number of at most 64 bits",
    FieldDescriptor.CPPTYPE_UINT64: "a whole number from 0 to 18446744073709551615",
}
_SCALARS: Mapping[int, str] = {
    **_WHOLE_NUMBERS,
    FieldDescriptor.CPPTYPE_DOUBLE: "a number",
    FieldDescriptor.CPPTYPE_FLOAT: "a number",
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
    FieldDescriptor.CPPTYPE_STRING: "a string",
    FieldDescriptor.CPPTYPE_MESSAGE: "a JSON object",
}
# Messages that are a single value in JSON.
_WELL_KNOWN: Mapping[str, str] = {
    "google.protobuf.Timestamp": "a time such as 2026-01-31T12:00:00Z",
    "google.protobuf.Duration": 'a duration in seconds such as "3.5s"',
    "google.protobuf.FieldMask": "a comma-separated list of field names",
    "google.protobuf.Any": 'an object with "@type"',
    "google.protobuf.Struct": "a JSON object",
    "google.protobuf.Value": "a JSON value",
    "google.protobuf.ListValue": "a list",
    "google.protobuf.BoolValue": "true or false",
    "google.protobuf.BytesValue": "base64 text",
    "google.protobuf.DoubleValue": "a number",
    "google.protobuf.FloatValue": "a number",
    "google.protobuf.Int32Value": "a whole number of 32 bits",
    "google.protobuf.Int64Value": "a whole number of 64 bits",
    "google.protobuf.StringValue": "a string",
    "google.protobuf.UInt32Value": "a whole number of 32 bits, not negative",
    "google.protobuf.UInt64Value": "a whole number of 64 bits, not negative",
}
_NAME = re.compile(r"[A-Za-z_][\w$-]{0,60}", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_BOOLEANS = {"true": True, "false": False}


def is_map(field: FieldDescriptor) -> bool:
    """True for `map<k, v>`."""
    return bool(field.message_type and field.message_type.GetOptions().map_entry)


def message_name(field: FieldDescriptor) -> str:
    """Full name of the field's message; empty when it holds none."""
    return field.message_type.full_name if field.message_type else ""


def is_plain_message(field: FieldDescriptor) -> bool:
    """True when the field's JSON form is an object with the message's own fields."""
    name = message_name(field)
    return bool(name) and name not in _WELL_KNOWN


def takes_null(field: FieldDescriptor) -> bool:
    """True when null is a value rather than the absence of one."""
    return message_name(field) == "google.protobuf.Value"


def expected(field: FieldDescriptor) -> str:
    """Says what the field takes, to stand after "is not"."""
    if name := message_name(field):
        return _WELL_KNOWN.get(name, "a JSON object")
    if field.enum_type:
        names = [value.name for value in field.enum_type.values if value.number != 0]
        return f"one of {', '.join(names)}"
    if field.type == FieldDescriptor.TYPE_BYTES:
        return "base64 text"
    return _SCALARS[field.cpp_type]


def expected_in_map(field: FieldDescriptor) -> str:
    """Says what the map's values are."""
    entry = field.message_type
    return expected(entry.fields_by_name["value"]) if entry else ""


def shown(value: Any) -> str:
    """Returns a JSON value as JSON text, cut at 60 characters."""
    text = json.dumps(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"


def label(name: str) -> str:
    """Returns a field name as it was written, or as JSON text when it could never be one."""
    return name if _NAME.fullmatch(name) else shown(name)


def unknown_field(descriptor: Descriptor, name: str) -> str:
    """Says that `name` is no field, and which one was probably meant."""
    known = [field.name for field in descriptor.fields]
    close = difflib.get_close_matches(name, [*known, *(field.json_name for field in descriptor.fields)], n=1)
    if close:
        return f"is not a field; did you mean {close[0]!r}?"
    return f"is not a field; the fields are {', '.join(known) or 'none'}"


def from_text(field: FieldDescriptor, text: str) -> Any:
    """Returns the JSON value that a query parameter's text stands for."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _BOOLEANS.get(text, text)
    return text


def normalised(field: FieldDescriptor, value: Any) -> Any:
    """Returns `value` as json_format takes it. ValueError for what it would wrongly take."""
    kind = "bytes" if field.type == FieldDescriptor.TYPE_BYTES else message_name(field)
    rule = _NORMALISERS.get(kind)
    return rule(value) if rule else value


def _camel_mask(value: Any) -> Any:
    """json_format refuses `display_name` in a mask, which is how the protos write it."""
    if not isinstance(value, str):
        raise TypeError("a mask is text")
    return ",".join(_camel(path.strip()) for path in value.split(",") if path.strip())


def _camel(path: str) -> str:
    first, *rest = path.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def _strict_base64(value: Any) -> Any:
    """json_format skips characters that are not base64, in either alphabet."""
    if not isinstance(value, str) or not _BASE64.fullmatch(value):
        raise ValueError("not base64")
    return value


_NORMALISERS: Mapping[str, Callable[[Any], Any]] = {
    "bytes": _strict_base64,
    "google.protobuf.FieldMask": _camel_mask,
}
