"""A key of another project finds nothing of the first, at any path that the gateway serves."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from visiontune.dataset.v1 import dataset_pb2
from visiontune_gateway.rest.contracts import rules
from visiontune_gateway.rest.routes import Routes

from tests.support.stack import Stack

ROOT = Path(__file__).parents[2]
# All that reads something of a project.
PATHS = [
    route.template.text
    for route in Routes.of(rules()).routes
    if route.verb == "GET" and "projects/*" in route.template.text
]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def ids(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Collection to the id of something real in it, all in the project `default`."""
    archive = tmp_path_factory.mktemp("data") / "digits.tar.gz"
    subprocess.run([sys.executable, str(ROOT / "examples/digits.py"), str(archive)], check=True)
    stack.cli("dataset", "import", str(archive), "--dataset", "digits")
    stack.cli("train", "-d", "digits", "-m", "tiny-llava", "--max-steps", "1", "--wait")
    with stack.client() as client:
        [job, *_] = client.list_jobs()  # newest first
        client.register_model("better", job.name)
        [example, *_] = client.list_examples("digits/v1")
        edited = client.create_draft("digits")
        tagged = dataset_pb2.Edit(example_id=example.example_id, tags=dataset_pb2.TagsEdit(tags=["first"]))
        client.edit_examples(edited.name, [tagged])
        client.wait(client.commit_version(edited.name))
        draft, export = client.create_draft("digits"), dataset_pb2.Export()
        client.wait(client.export_version("digits/v2")).response.Unpack(export)
    mine = as_key(stack, stack.api_key())
    upload = {"filename": "a", "size_bytes": "1", "sha256": "0" * 64}
    collection = mine("POST", "projects/default:collectGarbage", {"dryRun": True}).json()["name"]
    made = {
        "collections": collection,
        "uploads": mine("POST", "projects/default/uploads", upload).json()["name"],
        "objects": mine("GET", "projects/default/objects").json()["objects"][0]["name"],
        "operations": next(
            each["name"]
            for each in mine("GET", "projects/default/datasets/digits/operations").json()["operations"]
            if "/import-" in each["name"]
        ),
        "drafts": draft.name,
        "exports": export.name,
        "trainingJobs": job.name,
        "examples": example.name,
    }
    last = {collection: name.rpartition("/")[2] for collection, name in made.items()}
    given = {"projects": "default", "datasets": "digits", "versions": "v2", "models": "better"}
    return {**given, **last, "validationReports": last["operations"]}


@pytest.fixture(scope="module")
def other_key(stack: Stack) -> str:
    """An admin's key of the project `other`, as an operator makes one."""
    answer = as_key(stack, stack.api_key())("POST", "projects/other/apiKeys", {"role": "ROLE_ADMIN"})
    return str(answer.json()["secret"])


def as_key(stack: Stack, key: str) -> Any:
    """Returns a function that sends a request; of a stream it reads the status alone."""

    def send(verb: str, path: str, body: object = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.stream(verb, f"{stack.url}/v1/{path}", json=body, headers=headers, timeout=30) as answer:
            if "event-stream" not in answer.headers["content-type"]:
                answer.read()
            return answer

    return send


def path_to(template: str, ids: dict[str, str]) -> str:
    """The template's path to what `ids` name."""
    text = re.sub(r"\{\w+=([^}]*)\}", r"\1", template).removeprefix("/v1/")
    if text == "projects/*/operations/*":  # storage's own
        return f"projects/default/operations/{ids['collections']}"
    return re.sub(r"(\w+)/\*", lambda found: f"{found[1]}/{ids[found[1]]}", text)


@pytest.mark.parametrize("template", PATHS)
def test_what_one_project_has_the_other_does_not_find(
    stack: Stack, ids: dict[str, str], other_key: str, template: str
) -> None:
    path = path_to(template, ids)
    assert as_key(stack, stack.api_key())("GET", path).status_code != 404, path
    assert as_key(stack, other_key)("GET", path).status_code == 404, path


@pytest.mark.usefixtures("ids")
@pytest.mark.parametrize("collection", ["datasets", "trainingJobs", "objects", "models", "apiKeys"])
def test_the_others_own_lists_hold_nothing_of_the_first(
    stack: Stack, other_key: str, collection: str
) -> None:
    answer = as_key(stack, other_key)("GET", f"projects/other/{collection}")
    assert answer.status_code == 200
    assert "projects/default" not in answer.text
    if collection in {"datasets", "trainingJobs", "objects"}:
        assert not answer.json().get(collection)
