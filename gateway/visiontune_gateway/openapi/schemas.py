"""Messages as JSON Schema: what proto JSON says about each field, with the proto's comments and rules."""

from collections.abc import Mapping
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from visiontune_gateway.openapi import rules

Schema = dict[str, Any]

_LONG = {"type": "string", "format": "int64"}
_NUMBER = {"type": "number", "format": "double"}
_SCALARS: Mapping[int, Schema] = {
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "format": "uint32", "minimum": 0},
    FieldDescriptor.CPPTYPE_INT64: _LONG,
    FieldDescriptor.CPPTYPE_UINT64: {"type": "string", "format": "uint64"},
    FieldDescriptor.CPPTYPE_DOUBLE: _NUMBER,
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
}
_ANY = {
    "type": "object",
    "properties": {"@type": {"type": "string", "description": "URL whose last segment names the type."}},
    "required": ["@type"],
    "additionalProperties": True,
}
# Messages with a JSON form of their own.
WELL_KNOWN: Mapping[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Any": _ANY,
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Empty": {"type": "object"},
    "google.protobuf.BoolValue": {"type": "boolean"},
    "google.protobuf.BytesValue": {"type": "string", "format": "byte"},
    "google.protobuf.DoubleValue": _NUMBER,
    "google.protobuf.FloatValue": _NUMBER,
    "google.protobuf.Int32Value": {"type": "integer", "format": "int32"},
    "google.protobuf.Int64Value": _LONG,
    "google.protobuf.StringValue": {"type": "string"},
    "google.protobuf.UInt32Value": {"type": "integer", "format": "uint32"},
    "google.protobuf.UInt64Value": {"type": "string", "format": "uint64"},
}


class Schemas:
    """Collects the components that the paths refer to."""

    def __init__(self, comments: Mapping[str, str]) -> None:
        self.comments = comments
        self.components: dict[str, Schema] = {}
        self._owners: dict[str, str] = {}

    def reference(self, described: Descriptor | EnumDescriptor) -> Schema:
        """Returns the schema to use where a message or enum stands; makes its component once."""
        if described.full_name in WELL_KNOWN:
            return dict(WELL_KNOWN[described.full_name])
        name = self._name(described)
        if name not in self.components:
            self.components[name] = {}  # Known before its fields are walked: messages may contain themselves.
            if isinstance(described, EnumDescriptor):
                self.components[name] = self._enum(described)
            else:
                self.components[name] = self._message(described)
        return {"$ref": f"#/components/schemas/{name}"}

    def field(self, field: FieldDescriptor) -> Schema:
        """Returns the schema of one field with its description, rules and behaviour."""
        found = rules.of(field)
        schema = {**self._value(field), **rules.keywords(found)}
        description = " ".join(filter(None, [self._comment(field.full_name), rules.in_words(found)]))
        if description:
            schema["description"] = description
        if field_behavior_pb2.OUTPUT_ONLY in _behaviours(field):
            schema["readOnly"] = True
        return schema

    def _name(self, described: Descriptor | EnumDescriptor) -> str:
        """`TrainingJob`, `TrainingJob.State`. ValueError when two packages use one name."""
        package = described.file.package
        name = described.full_name.removeprefix(f"{package}.")
        name = "Status" if described.full_name == "google.rpc.Status" else name
        owner = self._owners.setdefault(name, described.full_name)
        if owner != described.full_name:
            raise ValueError(f"{owner} and {described.full_name} would both be called {name} in OpenAPI")
        return name

    def _message(self, message: Descriptor) -> Schema:
        schema: Schema = {
            "type": "object",
            "properties": {field.json_name: self.field(field) for field in message.fields},
        }
        required = [field.json_name for field in message.fields if is_required(field)]
        if required:
            schema["required"] = required
        choices = [
            f"At most one of {', '.join(f'`{field.json_name}`' for field in oneof.fields)} is set."
            for oneof in message.oneofs
            if len(oneof.fields) > 1
        ]
        description = "\n\n".join(filter(None, [self._comment(message.full_name), *choices]))
        return {**schema, "description": description} if description else schema

    def _enum(self, enum: EnumDescriptor) -> Schema:
        lines = [self._comment(enum.full_name), ""]
        for value in enum.values:
            meaning = self._comment(f"{enum.full_name}.{value.name}")
            lines.append(f"- `{value.name}`: {meaning}")
        return {
            "type": "string",
            "enum": [value.name for value in enum.values],
            "description": "\n".join(lines).strip(),
        }

    def _value(self, field: FieldDescriptor) -> Schema:
        if field.message_type and field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"]
            return {"type": "object", "additionalProperties": self.bare(value)}
        if field.is_repeated:
            items = rules.of(field).repeated.items
            return {"type": "array", "items": {**self.bare(field), **rules.keywords(items)}}
        return self.bare(field)

    def bare(self, field: FieldDescriptor) -> Schema:
        """Returns the schema of the field's type, or of one element of a list."""
        if field.message_type:
            return self.reference(field.message_type)
        if field.enum_type:
            return self.reference(field.enum_type)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "format": "byte"}
        return dict(_SCALARS[field.cpp_type])

    def _comment(self, full_name: str) -> str:
        return self.comments.get(full_name, "")


def plain_message(field: FieldDescriptor) -> Descriptor | None:
    """Returns the field's message when its JSON form is an object with the message's own fields."""
    message = field.message_type
    return message if message and message.full_name not in WELL_KNOWN else None


def is_required(field: FieldDescriptor) -> bool:
    """True when a request without the field is refused."""
    return field_behavior_pb2.REQUIRED in _behaviours(field) or rules.of(field).required


def _behaviours(field: FieldDescriptor) -> list[int]:
    return list(field.GetOptions().Extensions[field_behavior_pb2.field_behavior])
