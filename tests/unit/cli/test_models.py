"""What `visiontune models` asks the API for and shows, seen by a scripted gateway (a double at a border)."""

import json
from urllib.parse import parse_qsl, urlsplit

import pytest
from typer.testing import CliRunner
from visiontune.cli import app

from tests.support.scripted_http import Answer, Seen, as_json, scripted

MINE = {
    "name": "projects/p/models/mine",
    "family": "llava",
    "isAdapter": True,
    "baseModel": {"model": "projects/p/models/whole"},
    "sizeBytes": "2000",
    "lineage": [
        {
            "model": {"name": "projects/p/models/mine"},
            "trainingJob": {"name": "projects/p/trainingJobs/second", "deleted": True},
            "datasetVersion": {"name": "projects/p/datasets/d/versions/v2"},
            "datasetDigest": "sha256:0123456789abcdef",
            "baseModel": {"model": "projects/p/models/whole"},
            "metricsAfter": {"exact_match": 0.9},
        },
        {"model": {"name": "projects/p/models/whole", "deleted": True}},
    ],
}


FAMILY = {"family": "llava", "takes": ["CHAT_WITH_IMAGES", "CHAT"]}


def gateway(seen: Seen) -> Answer:
    lists = {"models": {"models": [MINE]}, "modelFamilies": {"families": [FAMILY]}}
    last = urlsplit(seen.path).path.rpartition("/")[2]
    return as_json({} if seen.method == "DELETE" else lists.get(last, MINE))


def models(*arguments: str) -> tuple[str, list[Seen]]:
    with scripted(gateway) as server:
        connection = ("--server", server.url, "--api-key", "k", "--project", "p")
        result = CliRunner().invoke(app, ["models", *arguments, *connection], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output, server.seen


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ((), {}),
        (("--family", "llava"), {"family": "llava"}),
        (("--dataset", "d"), {"dataset": "projects/p/datasets/d"}),
        (("--dataset", "d/v2"), {"dataset": "projects/p/datasets/d/versions/v2"}),
        (("--base", "whole"), {"base": "projects/p/models/whole"}),
        (("--base", "presets/tiny-llava"), {"base": "presets/tiny-llava"}),
        (("--base", "owner/name"), {"base": "owner/name"}),
    ],
)
def test_models_are_listed_by_what_they_came_from(arguments: tuple[str, ...], asked: dict[str, str]) -> None:
    said, [seen, _] = models("list", *arguments)
    assert dict(parse_qsl(urlsplit(seen.path).query)) == asked
    [row] = said.splitlines()[1:]
    assert row.split()[:4] == ["mine", "llava", "CHAT_WITH_IMAGES,", "CHAT"]


def test_a_model_is_shown_with_all_that_it_came_from() -> None:
    said, _ = models("show", "mine")
    assert "adapter on whole, 2.0 kB" in said
    newest, first = said.splitlines()[-2:]
    assert newest.split() == [
        *("second", "(deleted)", "mine", "d/v2", "sha256:0123456", "whole", "90.0", "%"),
    ]
    assert first.split() == ["-", "whole", "(deleted)", "-", "not", "known", "-"]
    shown, _ = models("show", "mine", "--output", "json")
    assert json.loads(shown)["lineage"][0]["trainingJob"]["deleted"]


def test_a_model_is_deleted_by_a_request_that_may_be_repeated() -> None:
    said, [seen] = models("delete", "mine")
    assert (seen.method, urlsplit(seen.path).path) == ("DELETE", "/v1/projects/p/models/mine")
    assert "request_id" in seen.path
    assert said == "Deleted mine.\n"
    assert models("delete", "mine", "--output", "json")[0] == "{}\n"


def test_the_whole_model_beside_an_adapter_is_registered_on_request() -> None:
    _, [seen] = models("register", "mine", "--job", "second", "--artifact", "merged")
    assert seen.json["artifact"] == "merged"
