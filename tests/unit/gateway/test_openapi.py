"""The OpenAPI document is valid, whole, and says what the protos say."""

from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import validate
from visiontune_gateway.openapi import document
from visiontune_gateway.openapi.schemas import Schemas
from visiontune_gateway.rest.contracts import Contract, rules
from visiontune_gateway.rest.routes import Routes

from tests.unit.gateway import shapes

ROUTES = Routes.of(rules())


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    return document.build(ROUTES)


def operations(openapi: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in openapi["paths"].values():
        yield from path.values()


def parameters(openapi: dict[str, Any], verb: str, path: str) -> dict[str, Any]:
    return {one["name"]: one for one in openapi["paths"][path][verb]["parameters"]}


def test_it_is_valid(openapi: dict[str, Any]) -> None:
    validate(openapi)


def test_every_route_is_an_operation(openapi: dict[str, Any]) -> None:
    found = list(operations(openapi))
    assert len(found) == len(ROUTES.routes)
    assert len({operation["operationId"] for operation in found}) == len(found)


def test_everything_of_ours_is_explained(openapi: dict[str, Any]) -> None:
    for operation in operations(openapi):
        assert operation["description"], operation["operationId"]
    for name, schema in openapi["components"]["schemas"].items():
        assert schema.get("description"), name
        for field, content in schema.get("properties", {}).items():
            assert content.get("description"), f"{name}.{field}"


def test_paths_name_their_variables_after_the_resources(openapi: dict[str, Any]) -> None:
    assert "/v1/projects/{project}/trainingJobs/{training_job}:cancel" in openapi["paths"]
    assert "/v1/projects/{project}/datasets/{dataset}/operations/{operation}:wait" in openapi["paths"]


def test_rules_become_constraints(openapi: dict[str, Any]) -> None:
    schemas = openapi["components"]["schemas"]
    rate = schemas["Hyperparameters"]["properties"]["learningRate"]
    assert (rate["exclusiveMinimum"], rate["maximum"]) == (0, 1)
    upload = schemas["Upload"]["properties"]
    assert upload["sha256"]["pattern"] == "^[0-9a-f]{64}$"
    assert upload["sizeBytes"]["type"] == "string"
    assert "Must be above 0 and at most 5,497,558,138,880." in upload["sizeBytes"]["description"]
    assert {"filename", "sizeBytes", "sha256"} == set(schemas["Upload"]["required"])
    assert upload["state"]["readOnly"]
    assert schemas["Upload.State"]["enum"][1] == "STATE_PENDING"
    assert "`STATE_PENDING`: URLs are issued" in schemas["Upload.State"]["description"]
    assert "`preset`, `hub`, `path`, `model`" in schemas["BaseModel"]["description"]


def test_parameters_come_from_what_the_body_leaves_over(openapi: dict[str, Any]) -> None:
    path = "/v1/projects/{project}/trainingJobs"
    assert set(parameters(openapi, "post", path)) == {"project", "trainingJobId", "requestId"}
    assert set(parameters(openapi, "get", path)) == {"project", "pageSize", "pageToken", "dataset"}
    create = openapi["paths"]["/v1/projects/{project}/datasets"]["post"]
    assert create["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/Dataset")
    assert parameters(openapi, "post", "/v1/projects/{project}/datasets")["datasetId"]["required"]
    cancel = openapi["paths"][f"{path}/{{training_job}}:cancel"]["post"]
    body = cancel["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == {"requestId"}  # the name is in the path


def test_streams_and_bytes_say_what_they_are(openapi: dict[str, Any]) -> None:
    watch = openapi["paths"]["/v1/projects/{project}/trainingJobs/{training_job}:watch"]["get"]
    assert list(watch["responses"]["200"]["content"]) == ["text/event-stream"]
    assert "Last-Event-ID" in {one["name"] for one in watch["parameters"]}
    image = "/v1/projects/{project}/datasets/{dataset}/versions/{version}/examples/{example}:image"
    assert list(openapi["paths"][image]["get"]["responses"]["200"]["content"]) == ["*/*"]


def test_a_file_is_a_body_of_bytes(openapi: dict[str, Any]) -> None:
    upload = openapi["paths"]["/v1/projects/{project}/uploads:bytes"]["post"]
    assert upload["requestBody"]["content"] == {"*/*": {"schema": {"type": "string", "format": "binary"}}}
    names = set(parameters(openapi, "post", "/v1/projects/{project}/uploads:bytes"))
    assert names == {"project", "filename", "sha256", "sizeBytes", "owner", "requestId"}


def test_an_operation_names_its_types(openapi: dict[str, Any]) -> None:
    started = openapi["paths"]["/v1/projects/{project}/datasets/{dataset}/versions:import"]["post"]
    schema = started["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema["allOf"][0] == {"$ref": "#/components/schemas/Operation"}
    assert schema["allOf"][1]["properties"] == {
        "metadata": {"$ref": "#/components/schemas/ImportVersionMetadata"},
        "response": {"$ref": "#/components/schemas/DatasetVersion"},
    }


def test_every_shape_of_field_has_a_schema() -> None:
    built = document.build(Routes.of(rules((Contract(shapes.SERVICE, "shapes"),))))
    validate(built)
    shape = built["components"]["schemas"]["Shape"]["properties"]
    assert shape["counts"] == {
        "type": "object",
        "additionalProperties": {"type": "string", "format": "int64"},
    }
    assert shape["data"] == {"type": "string", "format": "byte"}
    assert shape["colors"]["items"] == {"$ref": "#/components/schemas/Color"}
    tags = built["paths"]["/v1/tags"]["get"]["responses"]["200"]["content"]["application/json"]
    assert tags["schema"] == {"type": "array", "items": {"type": "string"}}
    names = {one["name"] for one in built["paths"]["/v1/two/{name}"]["get"]["parameters"]}
    assert {"inner.sizeBytes", "readMask", "tags"} <= names
    assert not {"inner", "inners"} & names


def test_two_messages_of_one_name_are_refused_at_start() -> None:
    schemas = Schemas({})
    shape = shapes.SERVICE.file.message_types_by_name["Shape"]
    schemas.reference(shape)
    schemas._owners["Inner"] = "elsewhere.Inner"
    with pytest.raises(ValueError, match="would both be called Inner"):
        schemas.reference(shapes.SERVICE.file.message_types_by_name["Inner"])
