"""The routing table is whole, and nothing in it hides anything else."""

import re

import pytest
from google.api import annotations_pb2, http_pb2
from visiontune.identity.v1 import identity_pb2
from visiontune_gateway.rest.contracts import CONTRACTS, Contract, Rule, rules
from visiontune_gateway.rest.routes import NoSuchPath, Route, Routes, WrongVerb

from tests.unit.gateway import shapes

ROUTES = Routes.of(rules())


def sample(route: Route) -> str:
    """A path that the route's template matches."""
    return re.sub(r"\{[\w.]+=?([^}]*)\}", lambda found: found[1] or "*", route.template.text).replace(
        "*", "x"
    )


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.service.name)
def test_every_annotated_method_has_its_routes(contract: Contract) -> None:
    annotated = {
        method.name
        for method in contract.service.methods
        if method.GetOptions().HasExtension(annotations_pb2.http)
    }
    routed = {route.method.name for route in ROUTES.routes if route.upstream == contract.upstream}
    assert annotated == {method.name for method in contract.service.methods}, "a public method without a path"
    assert annotated <= routed


@pytest.mark.parametrize("route", ROUTES.routes, ids=lambda route: f"{route.verb} {route.template.text}")
def test_no_route_hides_another(route: Route) -> None:
    found, variables = ROUTES.find(route.verb, sample(route))
    assert found is route
    assert tuple(variables) == route.template.fields


def test_operations_are_served_where_their_program_says() -> None:
    route, variables = ROUTES.find("POST", "/v1/projects/p/datasets/d/operations/o:cancel")
    assert (route.grpc_path, route.upstream) == ("/google.longrunning.Operations/CancelOperation", "dataset")
    assert variables == {"name": "projects/p/datasets/d/operations/o"}
    route, variables = ROUTES.find("GET", "/v1/projects/p/operations/o")
    assert (route.upstream, variables) == ("storage", {"name": "projects/p/operations/o"})
    route, variables = ROUTES.find("GET", "/v1/projects/p/datasets/d/operations")
    assert (route.method.name, variables) == ("ListOperations", {"name": "projects/p/datasets/d"})


@pytest.mark.parametrize(
    "path",
    [
        "/v1/projects/p/datasets/d/",  # a trailing slash is another path
        "/v1/projects/p/datasets/d:nope",  # not an id called `d:nope`
        "/v1/nothing",
        "/v1/",
    ],
)
def test_an_unknown_path_is_not_found(path: str) -> None:
    with pytest.raises(NoSuchPath, match=re.escape(path)):
        ROUTES.find("GET", path)


def test_a_wrong_verb_names_the_right_ones() -> None:
    with pytest.raises(WrongVerb) as refused:
        ROUTES.find("PUT", "/v1/projects/p/datasets/d")
    assert refused.value.allowed == ("GET", "PATCH", "DELETE")


def test_additional_bindings_are_routes_of_their_own() -> None:
    table = Routes.of(rules((Contract(shapes.SERVICE, "shapes"),)))
    assert table.find("GET", "/v1/two/x")[0].method.name == "Two"
    assert table.find("GET", "/v1/also/x/y:two")[1] == {"name": "x/y"}
    assert "Hidden" not in {route.method.name for route in table.routes}


def test_a_stream_that_http_cannot_carry_is_refused_at_start() -> None:
    method = shapes.SERVICE.methods_by_name["Send"]
    with pytest.raises(ValueError, match="is not an HttpBody"):
        Route.of(Rule(method, "shapes", http_pb2.HttpRule(post="/v1/{name=shapes/*}:send", body="*")))


def test_a_rule_without_a_path_is_refused_at_start() -> None:
    method = identity_pb2.DESCRIPTOR.services_by_name["IdentityService"].methods[0]
    with pytest.raises(ValueError, match="without a usable path"):
        Route.of(Rule(method, "identity", http_pb2.HttpRule()))
