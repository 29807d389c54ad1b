"""The routing table: made from the contracts, never written by hand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from google.protobuf.descriptor import MethodDescriptor
from visiontune_kit.errors import NotFound, Unimplemented

from visiontune_gateway.rest.contracts import OPEN, Rule
from visiontune_gateway.rest.templates import Template

HTTP_BODY = "google.api.HttpBody"
VERBS = ("get", "post", "put", "patch", "delete")


class NoSuchPath(NotFound):
    """No method has this path."""

    def __init__(self, path: str) -> None:
        super().__init__(f"There is nothing at {path}. /openapi.json lists every path.")


class WrongVerb(Unimplemented):
    """The path exists, the verb does not."""

    def __init__(self, verb: str, path: str, allowed: Sequence[str]) -> None:
        super().__init__(f"{verb} is not offered at {path}; use {' or '.join(allowed)}.")
        self.allowed = tuple(allowed)


@dataclass(frozen=True, slots=True)
class Route:
    """One HTTP verb and path, and the method that answers it."""

    verb: str  # upper case
    template: Template
    body: str  # `*`, the name of a field, or empty for none
    response_body: str  # the field of the answer that is sent; empty means all of it
    method: MethodDescriptor
    upstream: str

    @classmethod
    def of(cls, rule: Rule) -> Self:
        """Reads an annotation. ValueError when it has no path, or HTTP cannot carry the method."""
        http = rule.http
        verb = http.WhichOneof("pattern")
        if verb not in VERBS:
            raise ValueError(f"{rule.method.full_name} has an HTTP rule without a usable path")
        route = cls(
            verb=verb.upper(),
            template=Template.parse(getattr(http, verb)),
            body=http.body,
            response_body=http.response_body,
            method=rule.method,
            upstream=rule.upstream,
        )
        if rule.method.client_streaming and not route.takes_file:
            raise ValueError(f"{rule.method.full_name} takes a stream, and its body is not an HttpBody")
        return route

    @property
    def takes_file(self) -> bool:
        """True when the HTTP body is bytes, of any type, and not JSON."""
        field = self.method.input_type.fields_by_name.get(self.body)
        return bool(field and field.message_type and field.message_type.full_name == HTTP_BODY)

    @property
    def is_open(self) -> bool:
        """True when it is answered without an API key."""
        return self.method.full_name in OPEN

    @property
    def grpc_path(self) -> str:
        """For example `/visiontune.storage.v1.StorageService/GetUpload`."""
        return f"/{self.method.containing_service.full_name}/{self.method.name}"


@dataclass(frozen=True, slots=True)
class Routes:
    """Every route, in the order of the protos."""

    routes: tuple[Route, ...]

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> Self:
        """Makes the table."""
        return cls(tuple(Route.of(rule) for rule in rules))

    def find(self, verb: str, raw_path: str) -> tuple[Route, Mapping[str, str]]:
        """Returns the route and its path variables. Raises NoSuchPath, WrongVerb or UnreadablePath."""
        allowed: list[str] = []
        for route in self.routes:
            variables = route.template.match(raw_path)
            if variables is None:
                continue
            if route.verb == verb:
                return route, variables
            allowed.append(route.verb)
        if allowed:
            raise WrongVerb(verb, raw_path, allowed)
        raise NoSuchPath(raw_path)
