"""Every text, list and map that a caller sends has a bound in its proto: no row and no report can swell."""

from collections.abc import Iterator

import pytest
from buf.validate import validate_pb2
from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from visiontune.storage.v1 import storage_pb2
from visiontune.trainer.v1 import trainer_pb2
from visiontune.worker.v1 import worker_pb2

SERVERS_OWN = {field_behavior_pb2.OUTPUT_ONLY, field_behavior_pb2.IDENTIFIER}
REQUESTS = [
    method.input_type
    for file in (storage_pb2.DESCRIPTOR, trainer_pb2.DESCRIPTOR, worker_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
    for method in service.methods
]


def unbounded(message: Descriptor) -> Iterator[str]:
    """Paths of the fields that a caller may fill without end."""
    for field in message.fields:
        if SERVERS_OWN & set(field.GetOptions().Extensions[field_behavior_pb2.field_behavior]):
            continue
        rules = field.GetOptions().Extensions[validate_pb2.field]
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            if not (rules.map.max_pairs and is_bounded(rules.map.keys.string)):
                yield field.name
        elif field.is_repeated and not rules.repeated.max_items:
            yield field.name
        elif inner is not None and inner.full_name.startswith("visiontune."):
            yield from (f"{field.name}.{path}" for path in unbounded(inner))
        elif field.type == FieldDescriptor.TYPE_STRING:
            rule = rules.repeated.items.string if field.is_repeated else rules.string
            if not is_bounded(rule):
                yield field.name


def is_bounded(rule: validate_pb2.StringRules) -> bool:
    """A pattern bounds a name well enough: what has no such name is not found."""
    return bool(rule.max_len or rule.max_bytes or rule.pattern or rule.uuid)


@pytest.mark.parametrize("request_type", REQUESTS, ids=lambda message: message.name)
def test_all_that_a_caller_sends_is_bounded(request_type: Descriptor) -> None:
    assert list(unbounded(request_type)) == []
