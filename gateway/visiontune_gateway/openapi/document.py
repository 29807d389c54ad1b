"""The whole document: one operation a route."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from google.api import resource_pb2
from google.longrunning import operations_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.rpc import status_pb2

from visiontune_gateway.openapi import comments
from visiontune_gateway.openapi.schemas import Schema, Schemas, is_required, plain_message
from visiontune_gateway.rest.contracts import CONTRACTS
from visiontune_gateway.rest.routes import HTTP_BODY, Route, Routes

_MOST_QUERY_DEPTH = 3
_BYTES: Schema = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
_ID_PATTERN = r"^[^/:]+$"

DESCRIPTION = """\
Upload images with text, get a validated, versioned dataset, fine-tune a vision-language model on it, \
download what peft and transformers load.

- Every call but the health checks carries `Authorization: Bearer <API key>`.
- JSON is [proto JSON](https://protobuf.dev/programming-guides/json/): 64-bit numbers are strings, fields \
that have their default are left out, NaN and infinities are the strings `"NaN"`, `"Infinity"`, \
`"-Infinity"`. Field names are accepted as `sizeBytes` and as `size_bytes`; an unknown field or parameter \
is an error.
- Errors are `google.rpc.Status`: `message` for people, the `reason` in its ErrorInfo for programs.
- `requestId` (a UUID4) on a mutation makes it safe to repeat.
- Paths that end in `:watch` answer Server-Sent Events. `id` is the cursor: reconnecting with \
`Last-Event-ID` misses and repeats nothing. The last event is `done` or `error`; a stream without it was cut.
- `X-Request-Timeout` (seconds) shortens the deadline of a call, which is 60 s.
"""


def build(routes: Routes) -> dict[str, Any]:
    """Returns the OpenAPI 3.1 document of `routes`."""
    schemas = Schemas(comments.load())
    paths: dict[str, dict[str, Any]] = {}
    names = _PathNames(routes)
    times: Counter[str] = Counter()
    for route in routes.routes:
        path, variables = names.expand(route)
        operation = _operation(route, variables, schemas)
        times[route.method.name] += 1
        if times[route.method.name] > 1:  # an additional binding
            operation["operationId"] += str(times[route.method.name])
        paths.setdefault(path, {})[route.verb.lower()] = operation
    error = schemas.reference(status_pb2.Status.DESCRIPTOR)
    schemas.components["Status"]["description"] = (
        "How every failed call ends. `details` holds google.rpc messages: always ErrorInfo, and BadRequest, "
        "QuotaFailure, PreconditionFailure or ResourceInfo where they apply."
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "VisionTune",
            "version": version("visiontune"),
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"apiKey": []}],
        "tags": list(_tags(schemas.comments)),
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "responses": {
                "Error": {
                    "description": "The call failed.",
                    "content": {"application/json": {"schema": error}},
                }
            },
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, `vt_…`, or a JWT of a trusted issuer.",
                }
            },
        },
    }


class _PathNames:
    """Names the wildcards of paths after the resources' own patterns: `trainingJobs/*` → `{training_job}`."""

    def __init__(self, routes: Routes) -> None:
        self._by_collection: dict[str, str] = {"operations": "operation"}
        for file in {route.method.containing_service.file for route in routes.routes}:
            for message in file.message_types_by_name.values():
                self._learn(message)

    def _learn(self, message: Descriptor) -> None:
        for pattern in message.GetOptions().Extensions[resource_pb2.resource].pattern:
            self._by_collection.update(re.findall(r"(\w+)/\{(\w+)\}", pattern))

    def _named(self, segment: re.Match[str]) -> str:
        collection = segment[1]
        return f"{collection}/{{{self._by_collection.get(collection, f'{collection}_id')}}}"

    def expand(self, route: Route) -> tuple[str, list[str]]:
        """Returns the OpenAPI path and the names of its variables."""
        path = route.template.text
        for field, segments in zip(route.template.fields, route.template.segments, strict=True):
            named = f"{{{field}}}" if set(segments) == {"*"} else re.sub(r"(\w+)/\*", self._named, segments)
            path = re.sub(rf"\{{{re.escape(field)}(=[^}}]*)?\}}", named, path)
        return path, re.findall(r"\{([\w.]+)\}", path)


def _tags(texts: Mapping[str, str]) -> Iterator[Schema]:
    for contract in CONTRACTS:
        yield {"name": contract.service.name, "description": texts.get(contract.service.full_name, "")}
    yield {"name": "Operations", "description": "Work that outlives a call: its progress, and its result."}


def _operation(route: Route, variables: list[str], schemas: Schemas) -> Schema:
    method = route.method
    text = schemas.comments.get(method.full_name, "")
    operation: Schema = {
        "operationId": method.name,
        "tags": [method.containing_service.name],
        "summary": text.split(". ")[0].split("\n")[0].rstrip("."),
        "description": text,
        "parameters": [*map(_path_parameter, variables), *_query_parameters(route, schemas)],
        "responses": {
            "200": {"description": "The call succeeded.", "content": _answer(route, schemas)},
            "default": {"$ref": "#/components/responses/Error"},
        },
    }
    if route.is_open:
        operation["security"] = []
    if route.body:
        content = _BYTES if route.takes_file else {"application/json": {"schema": _body(route, schemas)}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _path_parameter(name: str) -> Schema:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": _ID_PATTERN},
    }


def _body(route: Route, schemas: Schemas) -> Schema:
    """The body's schema. `body: "*"` leaves out what the path already says."""
    request = route.method.input_type
    if route.body != "*":
        return schemas.bare(request.fields_by_name[route.body])
    in_path = {field.split(".")[0] for field in route.template.fields}
    fields = [field for field in request.fields if field.name not in in_path]
    schema: Schema = {
        "type": "object",
        "properties": {field.json_name: schemas.field(field) for field in fields},
    }
    required = [field.json_name for field in fields if is_required(field)]
    return {**schema, "required": required} if required else schema


def _query_parameters(route: Route, schemas: Schemas) -> Iterator[Schema]:
    if route.body == "*":
        return
    taken = {*route.template.fields, route.body}
    yield from _parameters_of(route.method.input_type, "", taken, schemas)
    if route.method.server_streaming:
        yield {
            "name": "Last-Event-ID",
            "in": "header",
            "description": "The last cursor seen; stands for `cursor` where that is not given.",
            "schema": {"type": "string"},
        }


def _parameters_of(message: Descriptor, prefix: str, taken: set[str], schemas: Schemas) -> Iterator[Schema]:
    for field in message.fields:
        path = prefix + field.name
        nested = plain_message(field)
        if path in taken or (nested and field.is_repeated):
            continue
        if nested:
            if path.count(".") < _MOST_QUERY_DEPTH:
                yield from _parameters_of(nested, f"{path}.", taken, schemas)
            continue
        schema = schemas.field(field)
        parameter: Schema = {"name": prefix + field.json_name, "in": "query", "schema": schema}
        if description := schema.pop("description", ""):
            parameter["description"] = description
        if is_required(field):
            parameter["required"] = True
        yield parameter


def _operation_answer(method: MethodDescriptor, schemas: Schemas) -> Schema:
    """An Operation whose metadata and response are of the types that the method names (AIP-151)."""
    info = method.GetOptions().Extensions[operations_pb2.operation_info]
    messages = method.containing_service.file.message_types_by_name
    typed = {
        "metadata": schemas.reference(messages[info.metadata_type]),
        "response": schemas.reference(messages[info.response_type]),
    }
    return {"allOf": [schemas.reference(method.output_type), {"type": "object", "properties": typed}]}


def _answer(route: Route, schemas: Schemas) -> Schema:
    output = route.method.output_type
    if output.full_name == HTTP_BODY:
        return _BYTES
    if route.response_body:
        return {"application/json": {"schema": schemas.field(output.fields_by_name[route.response_body])}}
    if route.method.GetOptions().HasExtension(operations_pb2.operation_info):
        return {"application/json": {"schema": _operation_answer(route.method, schemas)}}
    kind = "text/event-stream" if route.method.server_streaming else "application/json"
    return {kind: {"schema": schemas.reference(output)}}
