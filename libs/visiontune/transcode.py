"""From an RPC and its request to the HTTP call that means the same, by the proto's google.api.http rule.

The gateway reads the same annotations the other way round, so no route is written by hand on either side.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from urllib.parse import quote

from google.api import annotations_pb2, httpbody_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

# What google.longrunning declares for itself does not fit our names, so its rules stand here, as
# Google's own services keep them in their configuration.
OPERATIONS_RULES: Mapping[str, tuple[str, str, str]] = {
    "GetOperation": ("GET", "/v1/{name}", ""),
    "CancelOperation": ("POST", "/v1/{name}:cancel", "*"),
    "DeleteOperation": ("DELETE", "/v1/{name}", ""),
    "ListOperations": ("GET", "/v1/{name}/operations", ""),
}
_VARIABLE = re.compile(r"\{([^}=]+)(=[^}]*)?\}")


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One HTTP request, but for its host and its headers."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    # JSON; None means no body.
    body: Any
    # Bytes that are the body instead, and their type.
    content: bytes | None = None
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """How a method is called over HTTP."""

    method: str
    template: str
    # `*`, a field, or empty for no body.
    body: str


@cache
def rule_of(method: MethodDescriptor) -> Rule:
    """Raises ValueError for a method that has no HTTP form."""
    if method.containing_service.full_name == "google.longrunning.Operations":
        return Rule(*OPERATIONS_RULES[method.name])
    http = method.GetOptions().Extensions[annotations_pb2.http]
    verb = http.WhichOneof("pattern")
    if verb is None:
        raise ValueError(f"{method.full_name} cannot be called over HTTP")
    return Rule(verb.upper(), getattr(http, verb), http.body)


def call_for(method: MethodDescriptor, request: Message) -> HttpCall:
    """The HTTP call of one request."""
    rule = rule_of(method)
    file: Any = getattr(request, rule.body, None)
    if isinstance(file, httpbody_pb2.HttpBody):
        bare = type(request)()
        bare.CopyFrom(request)
        bare.ClearField(rule.body)
        call = replace(_call_for(rule, bare), body=None)
        return replace(call, content=file.data, content_type=file.content_type)
    return _call_for(rule, request)


def _call_for(rule: Rule, request: Message) -> HttpCall:
    fields = MessageToDict(request, preserving_proto_field_name=True)
    path = _VARIABLE.sub(lambda match: quote(str(_take(fields, match[1])), safe="/"), rule.template)
    if rule.body == "*":
        return HttpCall(rule.method, path, (), fields)
    body = fields.pop(rule.body, {}) if rule.body else None
    return HttpCall(rule.method, path, tuple(_flat(fields)), body)


def _take(fields: dict[str, Any], path: str) -> Any:
    """Removes and returns a field by its dotted path. Raises ValueError when it is not set."""
    *parents, leaf = path.split(".")
    for parent in parents:
        fields = fields.get(parent, {})
    if leaf not in fields:
        raise ValueError(f"{path} is required")
    return fields.pop(leaf)


def _flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Query parameters: nested fields by dotted paths, repeated ones repeated."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield from ((f"{prefix}{name}", _text(entry)) for entry in value)
        else:
            yield f"{prefix}{name}", _text(value)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
