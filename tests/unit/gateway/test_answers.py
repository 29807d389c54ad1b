"""Answers and failures as HTTP."""

import json

import pytest
from google.api import httpbody_pb2
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2
from visiontune_gateway.rest import answers
from visiontune_gateway.rest.answers import RequestTooLarge
from visiontune_gateway.rest.contracts import CONTRACTS, Contract, rules
from visiontune_gateway.rest.routes import Routes, WrongVerb
from visiontune_kit import errors
from visiontune_kit.errors import Failure, Violation

from tests.unit.gateway import shapes

ROUTES = Routes.of(rules((*CONTRACTS, Contract(shapes.SERVICE, "shapes"))))
SHAPE = GetMessageClass(shapes.SERVICE.file.message_types_by_name["Shape"])


@pytest.mark.parametrize(
    ("failure", "grpc_code", "http_code"),
    [
        (errors.InvalidArgument("x"), code_pb2.INVALID_ARGUMENT, 400),
        (errors.FailedPrecondition("x"), code_pb2.FAILED_PRECONDITION, 400),
        (errors.OutOfRange("x"), code_pb2.OUT_OF_RANGE, 400),
        (errors.Unauthenticated("x"), code_pb2.UNAUTHENTICATED, 401),
        (errors.PermissionDenied("x"), code_pb2.PERMISSION_DENIED, 403),
        (errors.NotFound("x"), code_pb2.NOT_FOUND, 404),
        (WrongVerb("PUT", "/x", ["GET"]), code_pb2.UNIMPLEMENTED, 405),
        (errors.AlreadyExists("x"), code_pb2.ALREADY_EXISTS, 409),
        (errors.Aborted("x"), code_pb2.ABORTED, 409),
        (RequestTooLarge(1), code_pb2.RESOURCE_EXHAUSTED, 413),
        (errors.ResourceExhausted("x"), code_pb2.RESOURCE_EXHAUSTED, 429),
        (errors.Cancelled("x"), code_pb2.CANCELLED, 499),
        (errors.Internal("x"), code_pb2.INTERNAL, 500),
        (errors.DataLoss("x"), code_pb2.DATA_LOSS, 500),
        (errors.Unimplemented("x"), code_pb2.UNIMPLEMENTED, 501),
        (errors.Unavailable("x"), code_pb2.UNAVAILABLE, 503),
        (errors.DeadlineExceeded("x"), code_pb2.DEADLINE_EXCEEDED, 504),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Failure) else str(value),
)
def test_a_failure_has_its_http_code(failure: Failure, grpc_code: int, http_code: int) -> None:
    response = answers.refusal(failure)
    body = json.loads(bytes(response.body))
    assert (response.status_code, body["code"]) == (http_code, grpc_code)
    assert body["details"][0]["reason"] == type(failure).__name__
    assert body["details"][0]["domain"] == "visiontune.dev"


def test_a_failure_keeps_its_violations_and_types() -> None:
    failure = errors.InvalidArgument("no", violations=[Violation("a.b", "is wrong", "R")])
    body = json.loads(bytes(answers.refusal(failure).body))
    assert body["message"] == "no"
    assert body["details"][1] == {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": "a.b", "description": "is wrong", "reason": "R"}],
    }


@pytest.mark.parametrize(
    ("failure", "header", "value"),
    [
        (errors.Unauthenticated("x"), "www-authenticate", 'Bearer realm="visiontune"'),
        (errors.Unavailable("x"), "retry-after", "1"),
        (WrongVerb("PUT", "/x", ["GET", "DELETE"]), "allow", "GET, DELETE"),
    ],
)
def test_a_client_is_told_what_to_do(failure: Failure, header: str, value: str) -> None:
    assert answers.refusal(failure).headers[header] == value


def test_an_answer_is_proto_json() -> None:
    route, _ = ROUTES.find("GET", "/v1/shapes/s")
    message = SHAPE()
    json_format.ParseDict(
        {"total": "9007199254740993", "data": "aGk=", "ratio": "NaN", "name": "é", "count": 0}, message
    )
    response = answers.answer(route, message)
    assert response.media_type == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert json.loads(bytes(response.body)) == {
        "name": "é",
        "total": "9007199254740993",  # 64 bits are text
        "data": "aGk=",
        "ratio": "NaN",  # and 0 is left out
    }


def test_a_response_body_is_sent_alone() -> None:
    route, _ = ROUTES.find("GET", "/v1/tags")
    assert bytes(answers.answer(route, json_format.ParseDict({"tags": ["a"]}, SHAPE())).body) == b'["a"]'


def test_an_http_body_is_sent_raw() -> None:
    path = "/v1/projects/p/datasets/d/versions/v1/examples/0:image"
    route, _ = ROUTES.find("GET", path)
    response = answers.answer(route, httpbody_pb2.HttpBody(content_type="image/png", data=b"\x89PNG"))
    assert (response.body, response.media_type) == (b"\x89PNG", "image/png")
    # It came from a user: a browser must not take it for a page of ours.
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in response.headers["content-security-policy"]
