"""The comments of the protos, by full name: they are the manual."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

# Field numbers of descriptor.proto, of which source locations are made.
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_FIELDS, _NESTED, _NESTED_ENUMS = 2, 3, 4
_METHODS = _VALUES = 2

Named = tuple[tuple[int, ...], str]


def load() -> Mapping[str, str]:
    """Returns full name of message, field, enum, value, service or method to its leading comment."""
    content = files("visiontune").joinpath("descriptors.binpb").read_bytes()
    result: dict[str, str] = {}
    for file in FileDescriptorSet.FromString(content).file:
        found = {
            tuple(location.path): location.leading_comments.strip()
            for location in file.source_code_info.location
            if location.leading_comments
        }
        result.update({name: _unwrapped(found[path]) for path, name in _names(file) if path in found})
    return result


def _unwrapped(comment: str) -> str:
    """Joins the lines of each paragraph: their breaks are the editor's."""
    paragraphs = "\n".join(line.strip() for line in comment.split("\n")).split("\n\n")
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)


def _names(file: FileDescriptorProto) -> Iterator[Named]:
    for index, message in enumerate(file.message_type):
        yield from _message(message, file.package, (_MESSAGES, index))
    for index, enum in enumerate(file.enum_type):
        yield from _enum(enum, file.package, (_ENUMS, index))
    for index, service in enumerate(file.service):
        yield from _service(service, file.package, (_SERVICES, index))


def _message(message: DescriptorProto, parent: str, path: tuple[int, ...]) -> Iterator[Named]:
    name = f"{parent}.{message.name}"
    yield path, name
    yield from _children(message.field, name, (*path, _FIELDS))
    for index, nested in enumerate(message.nested_type):
        yield from _message(nested, name, (*path, _NESTED, index))
    for index, enum in enumerate(message.enum_type):
        yield from _enum(enum, name, (*path, _NESTED_ENUMS, index))


def _enum(enum: EnumDescriptorProto, parent: str, path: tuple[int, ...]) -> Iterator[Named]:
    name = f"{parent}.{enum.name}"
    yield path, name
    yield from _children(enum.value, name, (*path, _VALUES))


def _service(service: ServiceDescriptorProto, parent: str, path: tuple[int, ...]) -> Iterator[Named]:
    name = f"{parent}.{service.name}"
    yield path, name
    yield from _children(service.method, name, (*path, _METHODS))


def _children(children: Sequence[object], parent: str, path: tuple[int, ...]) -> Iterator[Named]:
    for index, child in enumerate(children):
        yield (*path, index), f"{parent}.{getattr(child, 'name')}"  # noqa: B009 - three descriptor types
