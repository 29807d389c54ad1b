"""Resource names in requests: which project a call is about."""

from collections.abc import Iterator
from functools import cache

from buf.validate import validate_pb2
from google.api import resource_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

_PREFIX = "projects/"
_DEPTH = 5


def projects_of(request: Message) -> Iterator[str]:
    """Yields the project of each resource name in `request`.

    Looks at fields called `name` and `parent`, at those with a google.api.resource_reference, and at
    those whose rule demands a name that begins with `projects/`, in embedded messages as well.
    """
    for field, holds_names in _fields(request.DESCRIPTOR):
        value = getattr(request, field.name)
        if holds_names:
            for name in value if field.is_repeated else (value,):
                if name.startswith(_PREFIX):
                    yield name.split("/", 2)[1]
        elif field.is_repeated:
            for message in value:
                yield from projects_of(message)
        elif request.HasField(field.name):
            yield from projects_of(value)


def project_of(request: Message) -> str | None:
    """Returns the first project that `request` names, or None."""
    return next(projects_of(request), None)


@cache
def _fields(descriptor: Descriptor) -> tuple[tuple[FieldDescriptor, bool], ...]:
    """Fields to look at: (field, True when it holds names, False when it holds messages that may)."""
    return tuple(
        (field, _holds_names(field))
        for field in descriptor.fields
        if _holds_names(field) or _leads_to_names(field, _DEPTH)
    )


def _holds_names(field: FieldDescriptor) -> bool:
    if field.type != FieldDescriptor.TYPE_STRING:
        return False
    options = field.GetOptions()
    rules = options.Extensions[validate_pb2.field]
    return (
        field.name in {"name", "parent"}
        or options.HasExtension(resource_pb2.resource_reference)
        or _PREFIX in rules.string.pattern
        or _PREFIX in rules.repeated.items.string.pattern
    )


def _leads_to_names(field: FieldDescriptor, depth: int) -> bool:
    message = field.message_type
    if message is None or message.GetOptions().map_entry or depth == 0:
        return False
    if not message.full_name.startswith("visiontune."):
        return False
    return any(_holds_names(inner) or _leads_to_names(inner, depth - 1) for inner in message.fields)
