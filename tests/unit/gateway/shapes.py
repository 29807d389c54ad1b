"""A contract with every shape that ours may grow into, built here so that no real service has to have it."""

from google.api import annotations_pb2, http_pb2, httpbody_pb2
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import ServiceDescriptor

PACKAGE = "visiontune.test.shapes.v1"
_Field = descriptor_pb2.FieldDescriptorProto
_DEPENDENCIES = (
    annotations_pb2,
    httpbody_pb2,
    duration_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
_INNER = [("size_bytes", "int64"), ("note", "string"), ("marks", "repeated int32")]
_SHAPE = [
    ("name", "string"),
    ("count", "int32"),
    ("total", "int64"),
    ("positive", "uint64"),
    ("ratio", "double"),
    ("on", "bool"),
    ("data", "bytes"),
    ("color", f".{PACKAGE}.Color"),
    ("colors", f"repeated .{PACKAGE}.Color"),
    ("tags", "repeated string"),
    ("inner", f".{PACKAGE}.Inner"),
    ("inners", f"repeated .{PACKAGE}.Inner"),
    ("at", ".google.protobuf.Timestamp"),
    ("ttl", ".google.protobuf.Duration"),
    ("read_mask", ".google.protobuf.FieldMask"),
    ("extra", ".google.protobuf.Struct"),
    ("limit", ".google.protobuf.Int64Value"),
    ("cursor", "string"),
]


def _field(number: int, name: str, kind: str) -> _Field:
    kind, repeated = kind.removeprefix("repeated "), kind.startswith("repeated ")
    field = _Field(name=name, number=number)
    field.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
    if kind.startswith("."):
        field.type = _Field.TYPE_ENUM if kind.endswith(".Color") else _Field.TYPE_MESSAGE
        field.type_name = kind
    else:
        field.type = _Field.Type.Value(f"TYPE_{kind.upper()}")
    return field


def _message(name: str, fields: list[tuple[str, str]]) -> descriptor_pb2.DescriptorProto:
    return descriptor_pb2.DescriptorProto(
        name=name, field=[_field(number, *field) for number, field in enumerate(fields, 1)]
    )


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="visiontune/test/shapes.proto", package=PACKAGE, syntax="proto3"
    )
    file.dependency.extend(module.DESCRIPTOR.name for module in _DEPENDENCIES)
    color = file.enum_type.add(name="Color")
    for number, name in enumerate(("COLOR_UNSPECIFIED", "COLOR_RED", "COLOR_BLUE")):
        color.value.add(name=name, number=number)
    file.message_type.append(_message("Inner", _INNER))
    shape = _message("Shape", _SHAPE)
    _add_map(shape, "counts", 30, _Field.TYPE_INT64)
    _add_choice(shape)
    file.message_type.append(shape)
    service = file.service.add(name="Shapes")
    _add_method(service, "Get", get="/v1/{name=shapes/*}")
    _add_method(service, "Put", put="/v1/{name=shapes/*}", body="*")
    _add_method(service, "Patch", patch="/v1/{inner.note=shapes/*}/inner", body="inner")
    _add_method(service, "Many", post="/v1/many", body="inners")
    _add_method(service, "Tags", get="/v1/tags", response_body="tags")
    two = _add_method(service, "Two", get="/v1/two/{name}")
    two.additional_bindings.add(get="/v1/also/{name=**}:two")
    watch = service.method.add(
        name="Watch",
        input_type=f".{PACKAGE}.Shape",
        output_type=f".{PACKAGE}.Shape",
        server_streaming=True,
    )
    watch.options.Extensions[annotations_pb2.http].get = "/v1/{name=shapes/*}:watch"
    file.message_type.append(_message("Sent", [("name", "string"), ("file", ".google.api.HttpBody")]))
    for name, streamed in (("Send", True), ("Swap", False)):
        send = service.method.add(
            name=name,
            input_type=f".{PACKAGE}.Sent",
            output_type=f".{PACKAGE}.Shape",
            client_streaming=streamed,
        )
        rule = send.options.Extensions[annotations_pb2.http]
        rule.post, rule.body = f"/v1/{{name=shapes/*}}:{name.lower()}", "file"
    service.method.add(name="Hidden", input_type=f".{PACKAGE}.Shape", output_type=f".{PACKAGE}.Shape")
    return file


def _add_map(
    message: descriptor_pb2.DescriptorProto, name: str, number: int, kind: _Field.Type.ValueType
) -> None:
    entry = message.nested_type.add(name=f"{name.capitalize()}Entry")
    entry.options.map_entry = True
    entry.field.append(_field(1, "key", "string"))
    entry.field.append(_field(2, "value", "string"))
    entry.field[1].type = kind
    message.field.append(_field(number, name, f"repeated .{PACKAGE}.{message.name}.{entry.name}"))


def _add_choice(message: descriptor_pb2.DescriptorProto) -> None:
    message.oneof_decl.add(name="choice")
    for number, name in ((40, "left"), (41, "right")):
        message.field.append(_field(number, name, "string"))
        message.field[-1].oneof_index = 0


def _add_method(service: descriptor_pb2.ServiceDescriptorProto, name: str, **http: str) -> http_pb2.HttpRule:
    method = service.method.add(name=name, input_type=f".{PACKAGE}.Shape", output_type=f".{PACKAGE}.Shape")
    rule = method.options.Extensions[annotations_pb2.http]
    for key, value in http.items():
        setattr(rule, key, value)
    return rule


def _service() -> ServiceDescriptor:
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(_file().SerializeToString())
    return pool.FindServiceByName(f"{PACKAGE}.Shapes")


SERVICE = _service()
