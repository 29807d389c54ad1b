"""REST requests become the message that they say, or are refused with every wrong place named."""

import json
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from visiontune_gateway.rest.contracts import CONTRACTS, Contract, rules
from visiontune_gateway.rest.reading import UnreadableRequest, find_field, request_message
from visiontune_gateway.rest.routes import Routes

from tests.unit.gateway import shapes

ROUTES = Routes.of(rules((*CONTRACTS, Contract(shapes.SERVICE, "shapes"))))
JOBS = "/v1/projects/p/trainingJobs"

Query = list[tuple[str, str]]
# A busy machine is no defect.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def read(verb: str, path: str, query: Query | None = None, body: Any = None) -> Message:
    route, variables = ROUTES.find(verb, path)
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return request_message(route, variables, query or [], content)


def refused(verb: str, path: str, query: Query | None = None, body: Any = None) -> dict[str, tuple[str, str]]:
    with pytest.raises(UnreadableRequest) as caught:
        read(verb, path, query, body)
    return {
        violation.field: (violation.reason, violation.description) for violation in caught.value.violations
    }


def content(message: Message) -> dict[str, Any]:
    result: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return result


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ([("count", "3")], {"count": 3}),
        ([("total", "-5")], {"total": "-5"}),
        ([("total", "1e3")], {"total": "1000"}),
        ([("ratio", "NaN")], {"ratio": "NaN"}),
        ([("ratio", "-Infinity")], {"ratio": "-Infinity"}),
        ([("on", "true")], {"on": True}),
        ([("on", "false")], {}),
        ([("data", "aGk=")], {"data": "aGk="}),
        ([("color", "COLOR_RED")], {"color": "COLOR_RED"}),
        ([("color", "2")], {"color": "COLOR_BLUE"}),
        ([("colors", "COLOR_RED"), ("colors", "COLOR_BLUE")], {"colors": ["COLOR_RED", "COLOR_BLUE"]}),
        ([("tags", "a"), ("tags", "b,c"), ("tags", "")], {"tags": ["a", "b,c", ""]}),
        ([("inner.size_bytes", "1")], {"inner": {"size_bytes": "1"}}),
        ([("inner.sizeBytes", "2")], {"inner": {"size_bytes": "2"}}),
        ([("inner.marks", "1"), ("inner.marks", "2")], {"inner": {"marks": [1, 2]}}),
        ([("at", "2026-01-31T12:00:00Z")], {"at": "2026-01-31T12:00:00Z"}),
        ([("ttl", "3.5s")], {"ttl": "3.500s"}),
        ([("read_mask", "display_name,inner.size_bytes")], {"read_mask": "displayName,inner.sizeBytes"}),
        ([("readMask", "displayName")], {"read_mask": "displayName"}),
        ([("limit", "7")], {"limit": "7"}),
        ([("left", "x")], {"left": "x"}),
    ],
)
def test_query_parameters_reach_their_field(query: Query, expected: dict[str, Any]) -> None:
    assert content(read("GET", "/v1/shapes/s", query)) == {"name": "shapes/s", **expected}


@pytest.mark.parametrize(
    ("query", "field", "reason", "description"),
    [
        ([("unknown", "1")], "unknown", "UNKNOWN_FIELD", "is not a field"),
        ([("cuont", "1")], "cuont", "UNKNOWN_FIELD", "did you mean 'count'?"),
        ([("inner.nope", "1")], "inner.nope", "UNKNOWN_FIELD", "is not a field"),
        ([("count.x", "1")], "count.x", "UNKNOWN_FIELD", "'count' has no fields"),
        ([("inners.note", "1")], "inners.note", "UNKNOWN_FIELD", "'inners' has no fields"),
        ([("name", "evil")], "name", "DUPLICATE", "set by the path"),
        ([("count", "1"), ("count", "2")], "count", "DUPLICATE", "more than once"),
        (
            [("inner.size_bytes", "1"), ("inner.sizeBytes", "2")],
            "inner.size_bytes",
            "DUPLICATE",
            "more than once",
        ),
        ([("inner", "{}")], "inner", "WRONG_TYPE", "cannot be given in a query"),
        ([("counts", "{}")], "counts", "WRONG_TYPE", "cannot be given in a query"),
        ([("count", "")], "count", "WRONG_TYPE", '"" is not a whole number'),
        ([("count", "1.5")], "count", "WRONG_TYPE", '"1.5" is not a whole number'),
        ([("count", "2147483648")], "count", "WRONG_TYPE", "from -2147483648 to 2147483647"),
        ([("positive", "-1")], "positive", "WRONG_TYPE", "from 0"),
        ([("ratio", "fast")], "ratio", "WRONG_TYPE", '"fast" is not a number'),
        ([("on", "yes")], "on", "WRONG_TYPE", '"yes" is not true or false'),
        ([("data", "*")], "data", "WRONG_TYPE", "base64 text"),
        ([("color", "GREEN")], "color", "WRONG_TYPE", "one of COLOR_RED, COLOR_BLUE"),
        ([("at", "today")], "at", "WRONG_TYPE", "a time such as"),
        ([("ttl", "3")], "ttl", "WRONG_TYPE", "a duration in seconds"),
        ([("left", "x"), ("right", "y")], "right", "ONEOF", "together with 'left'"),
    ],
)
def test_a_query_that_cannot_be_meant_is_named(
    query: Query, field: str, reason: str, description: str
) -> None:
    found = refused("GET", "/v1/shapes/s", query)
    assert list(found) == [field]
    assert found[field][0] == reason
    assert description in found[field][1]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {}),
        ({"count": 3, "total": "9007199254740993"}, {"count": 3, "total": "9007199254740993"}),
        ({"total": 5, "count": "7"}, {"total": "5", "count": 7}),
        ({"inner": {"sizeBytes": 1, "note": "x"}}, {"inner": {"size_bytes": "1", "note": "x"}}),
        ({"inner": {}}, {"inner": {}}),
        ({"inners": [{"note": "a"}, {}]}, {"inners": [{"note": "a"}, {}]}),
        ({"counts": {"a": 1, "b": "2"}}, {"counts": {"a": "1", "b": "2"}}),
        ({"tags": []}, {}),
        ({"tags": None, "inner": None, "count": None}, {}),
        ({"extra": {"any": [1, {"x": None}]}}, {"extra": {"any": [1.0, {"x": None}]}}),
        ({"ratio": "Infinity"}, {"ratio": "Infinity"}),
        ({"readMask": "inner.size_bytes"}, {"read_mask": "inner.sizeBytes"}),
        ({"name": "shapes/other"}, {}),  # the path says which
    ],
)
def test_a_body_reaches_its_fields(body: dict[str, Any], expected: dict[str, Any]) -> None:
    assert content(read("PUT", "/v1/shapes/s", body=body)) == {"name": "shapes/s", **expected}


@pytest.mark.parametrize(
    ("body", "field", "reason", "description"),
    [
        ({"unknown": 1}, "unknown", "UNKNOWN_FIELD", "is not a field"),
        ({"inner": {"q": 1}}, "inner.q", "UNKNOWN_FIELD", "is not a field; the fields are size_bytes"),
        ({"inner": {"sizebytes": 1}}, "inner.sizebytes", "UNKNOWN_FIELD", "did you mean 'size_bytes'?"),
        ({"inners": [{}, {"x": 1}]}, "inners[1].x", "UNKNOWN_FIELD", "is not a field"),
        ({"inners": [None]}, "inners[0]", "WRONG_TYPE", "null is not a JSON object"),
        ({"inners": {}}, "inners", "WRONG_TYPE", "{} is not a list"),
        ({"inner": []}, "inner", "WRONG_TYPE", "[] is not a JSON object"),
        ({"tags": ["a", 1]}, "tags[1]", "WRONG_TYPE", "1 is not a string"),
        ({"tags": "a"}, "tags", "WRONG_TYPE", '"a" is not a list'),
        ({"counts": {"a": "x"}}, 'counts["a"]', "WRONG_TYPE", '"x" is not a whole number'),
        ({"counts": []}, "counts", "WRONG_TYPE", "[] is not a JSON object"),
        ({"count": True}, "count", "WRONG_TYPE", "true is not a whole number"),
        ({"count": 1.5}, "count", "WRONG_TYPE", "1.5 is not a whole number"),
        ({"on": "true"}, "on", "WRONG_TYPE", '"true" is not true or false'),
        ({"readMask": ["a"]}, "read_mask", "WRONG_TYPE", "comma-separated"),
        ({"ttl": 3}, "ttl", "WRONG_TYPE", "3 is not a duration"),
        ({"left": "a", "right": "b"}, "right", "ONEOF", "together with 'left'"),
        ({"inner": {"sizeBytes": 1, "size_bytes": 2}}, "inner.size_bytes", "DUPLICATE", "given twice"),
        ({"no such field!": 1}, '"no such field!"', "UNKNOWN_FIELD", "is not a field"),
        (b'{"count": 1, "count": 2}', "", "INVALID_JSON", 'the key "count" twice'),
        (b'{"ratio": NaN}', "", "INVALID_JSON", 'write "NaN"'),
        (b"", "", "INVALID_JSON", "send {}"),
        (b"  ", "", "INVALID_JSON", "send {}"),
        (b'{"count": 1', "", "INVALID_JSON", "at line 1, column 12"),
        (b'{"name": "\xff"}', "", "INVALID_JSON", "not UTF-8"),
        (b"[" * 100_000, "", "INVALID_JSON", "nested too deeply"),
        (b"[]", "", "WRONG_TYPE", "[] is not a JSON object"),
        (b'{"name": "\\ud800", "tags": ["\\ud800"]}', "name", "WRONG_TYPE", "is not a string"),
    ],
)
def test_a_body_that_cannot_be_meant_is_named(body: Any, field: str, reason: str, description: str) -> None:
    found = refused("PUT", "/v1/shapes/s", body=body)
    assert next(iter(found)) == field
    assert found[field][0] == reason
    assert description in found[field][1]


def test_every_problem_is_told_at_once() -> None:
    spec = {"hyperparameters": {"learning_rate": "fast", "batchSize": 1.5}, "baseModel": {"preset": 3}}
    found = refused("POST", JOBS, [("nope", "1")], {"spec": spec})
    assert list(found) == [
        "training_job.spec.hyperparameters.learning_rate",
        "training_job.spec.hyperparameters.batch_size",
        "training_job.spec.base_model.preset",
        "nope",
    ]
    assert found["training_job.spec.hyperparameters.learning_rate"] == (
        "WRONG_TYPE",
        '"fast" is not a number',
    )


def test_the_path_wins_over_the_name_in_the_body() -> None:
    body = {"name": "projects/other/datasets/evil", "displayName": "New"}
    query = [("updateMask", "display_name"), ("requestId", "r")]
    assert content(read("PATCH", "/v1/projects/p/datasets/d", query, body)) == {
        "dataset": {"name": "projects/p/datasets/d", "display_name": "New"},
        "update_mask": "displayName",
        "request_id": "r",
    }


def test_what_belongs_in_the_body_is_refused_in_the_query() -> None:
    assert refused("PUT", "/v1/shapes/s", [("count", "1")], {})["count"][0] == "UNKNOWN_FIELD"
    found = refused("POST", JOBS, [("training_job.display_name", "x")], {})
    assert "belongs in the body" in found["training_job.display_name"][1]


def test_a_body_where_none_belongs_is_refused() -> None:
    assert refused("GET", "/v1/shapes/s", body={"count": 1})[""][0] == "UNEXPECTED_BODY"


def test_a_list_can_be_the_body() -> None:
    assert content(read("POST", "/v1/many", body=[{"note": "a"}])) == {"inners": [{"note": "a"}]}
    assert refused("POST", "/v1/many", body=[{"note": 1}])["inners[0].note"][0] == "WRONG_TYPE"


@UNHURRIED
@given(st.text(min_size=1, max_size=30))
def test_no_field_is_dropped_in_silence(name: str) -> None:
    """Whatever a key is called: it is a field, or the request is refused at its place."""
    for place, inside in (("spec", "training_job.spec."), ("", "training_job.")):
        route, variables = ROUTES.find("POST", JOBS)
        body: dict[str, Any] = {"spec": {name: {}}} if place else {name: {}}
        descriptor = route.method.input_type.fields_by_name["training_job"].message_type
        assert descriptor is not None
        owner = descriptor.fields_by_name["spec"].message_type if place else descriptor
        assert owner is not None
        if find_field(owner, name) is not None:
            continue
        with pytest.raises(UnreadableRequest) as caught:
            request_message(route, variables, [], json.dumps(body).encode())
        violation = caught.value.violations[0]
        assert violation.field.startswith(inside)
        assert violation.reason == "UNKNOWN_FIELD"
        violation.field.encode()  # it must fit into a proto


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "count": st.integers(-(2**31), 2**31 - 1),
        "total": st.integers(-(2**63), 2**63 - 1).map(str),
        "ratio": st.floats(allow_nan=False, allow_infinity=False),
        "on": st.booleans(),
        "tags": st.lists(st.text(st.characters(codec="utf-8"))),
        "color": st.sampled_from(["COLOR_RED", "COLOR_BLUE"]),
        "inner": st.fixed_dictionaries({}, optional={"note": st.text(st.characters(codec="utf-8"))}),
        "counts": st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers(0, 9).map(str)),
        "left": st.text(st.characters(codec="utf-8")),
    },
)


@UNHURRIED
@given(VALUES)
def test_reading_agrees_with_json_format(body: dict[str, Any]) -> None:
    read_here = read("PUT", "/v1/shapes/s", body=body)
    expected = json_format.ParseDict({**body, "name": "shapes/s"}, type(read_here)())
    assert read_here == expected


@pytest.mark.parametrize("verb", ["send", "swap"])
def test_a_file_is_not_read_but_taken(verb: str) -> None:
    route, variables = ROUTES.find("POST", f"/v1/shapes/one:{verb}")
    message: Any = request_message(route, variables, [], b'{"not": json', "text/html")
    assert (message.name, message.file.data, message.file.content_type) == (
        "shapes/one",
        b'{"not": json',
        "text/html",
    )
