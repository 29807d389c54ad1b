"""Path templates match what google.api.http says they match."""

import pytest
from visiontune_gateway.rest.templates import Template, UnreadablePath

NAME = "/v1/{name=projects/*/uploads/*}"


@pytest.mark.parametrize(
    ("template", "path", "variables"),
    [
        (NAME, "/v1/projects/p/uploads/u", {"name": "projects/p/uploads/u"}),
        (NAME, "/v1/projects/p/uploads/a%20b", {"name": "projects/p/uploads/a b"}),
        (NAME, "/v1/projects/p/uploads/a%2Fb", {"name": "projects/p/uploads/a%2Fb"}),
        (NAME, "/v1/projects/p/uploads/a%2fb", {"name": "projects/p/uploads/a%2Fb"}),
        (NAME, "/v1/projects/p/uploads/%C3%A9", {"name": "projects/p/uploads/é"}),
        (f"{NAME}:complete", "/v1/projects/p/uploads/u:complete", {"name": "projects/p/uploads/u"}),
        ("/v1/{quota.name=projects/*/quota}", "/v1/projects/p/quota", {"quota.name": "projects/p/quota"}),
        ("/v1/{a}/{b}", "/v1/x/y", {"a": "x", "b": "y"}),
        ("/v1/{a=**}:do", "/v1/x/y/z:do", {"a": "x/y/z"}),
        ("/v1/formats", "/v1/formats", {}),
    ],
)
def test_a_template_reads_its_variables(template: str, path: str, variables: dict[str, str]) -> None:
    assert Template.parse(template).match(path) == variables


@pytest.mark.parametrize(
    ("template", "path"),
    [
        (NAME, "/v1/projects/p/uploads/u/"),
        (NAME, "/v1/projects/p/uploads/"),
        (NAME, "/v1/projects//uploads/u"),
        (NAME, "/v1/projects/p/uploads/u:nope"),
        (NAME, "/v1/projects/p/uploads/u/parts"),
        (NAME, "/v2/projects/p/uploads/u"),
        (f"{NAME}:complete", "/v1/projects/p/uploads/u"),
        (f"{NAME}:complete", "/v1/projects/p/uploads/u%3Acomplete"),
        ("/v1/formats", "/v1/formatsX"),
        ("/v1/a.b", "/v1/aXb"),
    ],
)
def test_another_path_is_no_match(template: str, path: str) -> None:
    assert Template.parse(template).match(path) is None


@pytest.mark.parametrize("encoded", ["%ff", "a%C3", "%E2%82"])
def test_a_segment_that_is_not_utf8_is_named(encoded: str) -> None:
    with pytest.raises(UnreadablePath) as refused:
        Template.parse(NAME).match(f"/v1/projects/p/uploads/{encoded}")
    assert refused.value.violations[0].field == "name"


@pytest.mark.parametrize("text", ["v1/x", "/v1/{name", "/v1/name}", "/v1/{na me}", "/v1/{}"])
def test_a_malformed_template_is_refused_at_start(text: str) -> None:
    with pytest.raises(ValueError, match="malformed path template"):
        Template.parse(text)
