"""HTTP to protobuf: path variables, query and JSON body become one request message.

json_format converts each single value; the walk over the message is ours, so that every problem of a
request is reported at once, each with its path, and nothing unknown is dropped in silence.
"""

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, cast

from google.api import httpbody_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from visiontune_kit.errors import InvalidArgument, Violation

from visiontune_gateway.rest import values
from visiontune_gateway.rest.routes import Route

_MOST_DEPTH = 64


class UnreadableRequest(InvalidArgument):
    """The request cannot be turned into its message; each violation names a place."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        first = violations[0]
        more = f" {len(violations) - 1} more such problems follow." if len(violations) > 1 else ""
        super().__init__(f"{first.field or 'body'}: {first.description}.{more}", violations=violations)


def request_message(
    route: Route,
    variables: Mapping[str, str],
    query: Iterable[tuple[str, str]],
    body: bytes,
    content_type: str = "",
) -> Message:
    """Returns the request. Path variables win over the body. Raises UnreadableRequest with every problem."""
    message: Message = GetMessageClass(route.method.input_type)()
    reader = _Reader()
    if route.takes_file:
        file = httpbody_pb2.HttpBody(content_type=content_type, data=body)
        getattr(message, route.body).CopyFrom(file)
    else:
        reader.read_body(message, route.body, body)
    reader.read_query(message, query, in_path=variables.keys(), body=route.body)
    for path, text in variables.items():
        reader.put(message, path.split("."), [text], path)
    if reader.violations:
        raise UnreadableRequest(reader.violations)
    return message


def find_field(descriptor: Descriptor, name: str) -> FieldDescriptor | None:
    """Returns the field called `name` in the proto or in JSON, or None."""
    field = descriptor.fields_by_name.get(name)
    return field or descriptor.fields_by_camelcase_name.get(name) or _by_json_name(descriptor, name)


def _fields_of(message: Message) -> Descriptor:
    return cast("Descriptor", message.DESCRIPTOR)


def _by_json_name(descriptor: Descriptor, name: str) -> FieldDescriptor | None:
    return next((field for field in descriptor.fields if field.json_name == name), None)


class _Reader:
    """Fills one message and collects what is wrong with its source."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def refuse(self, path: str, description: str, reason: str) -> None:
        self.violations.append(Violation(path, description, reason))

    # The body

    def read_body(self, message: Message, target: str, body: bytes) -> None:
        """Reads JSON into `message` (`*`) or into one of its fields."""
        if not target:
            if body.strip():
                self.refuse("", "this method takes no body; use query parameters", "UNEXPECTED_BODY")
            return
        prefix = "" if target == "*" else target
        try:
            content = _parse(body)
        except ValueError as error:
            self.refuse(prefix, str(error), "INVALID_JSON")
            return
        if target == "*":
            self.fill(message, content, "", 0)
        else:
            self.fill_field(message, _fields_of(message).fields_by_name[target], content, target, 0)

    def fill(self, message: Message, content: Any, path: str, depth: int) -> None:
        """Reads a JSON object into `message`."""
        if not isinstance(content, dict):
            self.refuse(path, f"{values.shown(content)} is not a JSON object", "WRONG_TYPE")
            return
        if depth > _MOST_DEPTH:
            self.refuse(path, f"is nested more than {_MOST_DEPTH} levels deep", "TOO_DEEP")
            return
        seen: dict[str, str] = {}
        for key, value in content.items():
            field = find_field(_fields_of(message), key)
            if field is None:
                place = f"{path}.{values.label(key)}" if path else values.label(key)
                self.refuse(place, values.unknown_field(_fields_of(message), key), "UNKNOWN_FIELD")
                continue
            place = f"{path}.{field.name}" if path else field.name
            if seen.setdefault(field.name, key) != key:
                self.refuse(place, f"is given twice, as {seen[field.name]!r} and as {key!r}", "DUPLICATE")
                continue
            self.fill_field(message, field, value, place, depth)

    def fill_field(self, message: Message, field: FieldDescriptor, value: Any, path: str, depth: int) -> None:
        """Reads one JSON value into one field; null leaves it unset, as in proto JSON."""
        if value is None and not values.takes_null(field):
            return
        if values.is_map(field):
            self.fill_map(message, field, value, path)
        elif field.is_repeated:
            self.fill_list(message, field, value, path, depth)
        elif values.is_plain_message(field):
            if not self.clashes(message, field, path):
                child = getattr(message, field.name)
                child.SetInParent()
                self.fill(child, value, path, depth + 1)
        elif not self.clashes(message, field, path):
            self.set(message, field, value, path)

    def fill_list(self, message: Message, field: FieldDescriptor, value: Any, path: str, depth: int) -> None:
        if not isinstance(value, list):
            self.refuse(path, f"{values.shown(value)} is not a list", "WRONG_TYPE")
            return
        for index, element in enumerate(value):
            place = f"{path}[{index}]"
            if values.is_plain_message(field):
                self.fill(getattr(message, field.name).add(), element, place, depth + 1)
            else:
                self.set(message, field, element, place)

    def fill_map(self, message: Message, field: FieldDescriptor, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            self.refuse(path, f"{values.shown(value)} is not a JSON object", "WRONG_TYPE")
            return
        expected = values.expected_in_map(field)
        for key, entry in value.items():
            part = type(message)()
            try:
                json_format.ParseDict({field.name: {key: entry}}, part)
            except (json_format.ParseError, ValueError):
                place = f"{path}[{values.shown(key)}]"
                self.refuse(place, f"{values.shown(entry)} is not {expected}", "WRONG_TYPE")
            else:
                message.MergeFrom(part)

    def clashes(self, message: Message, field: FieldDescriptor, path: str) -> bool:
        """True, and a violation, when another member of the same oneof is set."""
        other = field.containing_oneof and message.WhichOneof(field.containing_oneof.name)
        if not other or other == field.name:
            return False
        self.refuse(path, f"cannot be given together with {other!r}", "ONEOF")
        return True

    # Single values

    def set(self, message: Message, field: FieldDescriptor, value: Any, path: str) -> None:
        """Sets or appends one value that is no plain message."""
        target = type(message)() if field.is_repeated else message
        try:
            content = values.normalised(field, value)
            json_format.ParseDict({field.name: [content] if field.is_repeated else content}, target)
        except (json_format.ParseError, ValueError, TypeError):
            self.refuse(path, f"{values.shown(value)} is not {values.expected(field)}", "WRONG_TYPE")
            return
        if target is not message:  # json_format would replace the elements before
            message.MergeFrom(target)

    # The query

    def read_query(
        self, message: Message, query: Iterable[tuple[str, str]], *, in_path: Set[str], body: str
    ) -> None:
        """Reads `a.b=1&list=x&list=y`; what the path or the body holds is refused."""
        grouped: dict[str, list[str]] = {}
        for key, text in query:
            grouped.setdefault(_canonical(_fields_of(message), key), []).append(text)
        for path, texts in grouped.items():
            if path in in_path:
                self.refuse(path, "is set by the path already", "DUPLICATE")
            elif body == "*" or path.split(".")[0] == body:
                self.refuse(path, "belongs in the body, not in the query", "UNKNOWN_FIELD")
            else:
                self.put(message, path.split("."), texts, path)

    def put(self, message: Message, steps: Sequence[str], texts: Sequence[str], path: str) -> None:
        """Sets the field at `steps` from text."""
        field = find_field(_fields_of(message), steps[0])
        if field is None:
            self.refuse(path, values.unknown_field(_fields_of(message), steps[0]), "UNKNOWN_FIELD")
        elif len(steps) > 1:
            if field.is_repeated or not values.is_plain_message(field):
                self.refuse(path, f"{field.name!r} has no fields to set in a query", "UNKNOWN_FIELD")
                return
            self.put(getattr(message, field.name), steps[1:], texts, path)
        elif values.is_map(field) or values.is_plain_message(field):
            self.refuse(path, "cannot be given in a query", "WRONG_TYPE")
        elif len(texts) > 1 and not field.is_repeated:
            self.refuse(path, "is given more than once", "DUPLICATE")
        elif not self.clashes(message, field, path):
            for text in texts:
                self.set(message, field, values.from_text(field, text), path)


def _canonical(descriptor: Descriptor, key: str) -> str:
    """`updateMask` and `update_mask` are one key; unknown parts stay as they are."""
    steps: list[str] = []
    current: Descriptor | None = descriptor
    for step in key.split("."):
        field = find_field(current, step) if current else None
        steps.append(field.name if field else values.label(step))
        current = field.message_type if field else None
    return ".".join(steps)


def _parse(body: bytes) -> Any:
    """Returns the JSON value. ValueError says in words what is wrong."""
    if not body.strip():
        raise ValueError("the body is empty; send {} when there is nothing to say")
    try:
        return json.loads(body, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"is not JSON: {error.msg.lower()} at line {error.lineno}, column {error.colno}"
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8 text") from error
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"holds the key {values.shown(twice)} twice in one object")
    return content


def _refuse_constant(name: str) -> None:
    raise ValueError(f'holds {name}, which is not JSON; write "{name}"')
