"""Edits by the CLI against a running stack: a draft, a version, what differs, where it comes from."""

import json
from pathlib import Path

import pytest

from tests.support import archives
from tests.support.stack import Stack

DATASET = "edited"


@pytest.fixture(scope="module")
def version(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A version of five examples."""
    archive = tmp_path_factory.mktemp("data") / "numbers.tar"
    archive.write_bytes(archives.tar(archives.numbered(5)))
    stack.cli("dataset", "import", str(archive), "-d", DATASET)
    return f"{DATASET}/v1"


def test_edits_become_a_version(stack: Stack, version: str, tmp_path: Path) -> None:
    (tmp_path / "new.jpg").write_bytes(archives.noise(77))
    messages = [
        {"role": "user", "content": [{"type": "TYPE_IMAGE"}, {"type": "TYPE_TEXT", "text": "Which?"}]},
        {"role": "assistant", "content": [{"type": "TYPE_TEXT", "text": "The new."}]},
    ]
    new = {"images": [{"file": str(tmp_path / "new.jpg")}], "messages": messages}
    edits = [
        {"exampleId": "r1", "text": {"message": 1, "text": "One."}},
        {"exampleId": "r2", "delete": {}},
        {"exampleId": "n1", "add": new},
        {"example_id": "r3", "tags": {"tags": ["odd"]}},
    ]
    (tmp_path / "edits.jsonl").write_bytes(archives.jsonl(*edits) + b"\n")
    begun = stack.cli("dataset", "edit", version, "--file", str(tmp_path / "edits.jsonl"), "-o", "json")
    draft = json.loads(begun.stdout)
    assert draft["editCount"] == 4
    id_ = draft["name"].rpartition("/")[2]
    assert f"{id_}  edited/v1" in stack.cli("dataset", "drafts", DATASET).stdout
    stack.cli("dataset", "edit", DATASET, "--draft", id_, "--revert", "4")
    made = stack.cli("dataset", "edit", DATASET, "--draft", id_, "--commit").stdout
    assert "Committed edited/v2: 5 examples, 5 images" in made
    diff = stack.cli("dataset", "diff", "edited/v1", "edited/v2").stdout
    assert "~ r1  messages" in diff
    assert "- What digit is this? | It is number 1." in diff
    assert "+ What digit is this? | One." in diff
    assert "- r2  What digit is this? | It is number 2." in diff
    assert "+ n1  Which? | The new." in diff
    assert "1 added, 1 removed, 1 changed since edited/v1." in diff
    changes = stack.cli("dataset", "diff", "edited/v2", "-o", "json").stdout.splitlines()
    assert [json.loads(line)["exampleId"] for line in changes] == ["r1", "r2", "n1"]
    listed = stack.cli("dataset", "examples", DATASET, "--query", "the new", "-o", "json").stdout
    assert [each["exampleId"] for each in json.loads(listed)] == ["n1"]
    history = stack.cli("dataset", "history", DATASET).stdout
    assert f"edited/v1 + {id_}" in history
    assert "numbers.tar" in history
    as_json = json.loads(stack.cli("dataset", "history", DATASET, "-o", "json").stdout)
    assert [each["version"]["name"].rpartition("/")[2] for each in as_json] == ["v2", "v1"]
    assert all(each["trainingJobs"] == [] for each in as_json)


def test_what_cannot_be_edited_is_said_with_its_place(stack: Stack, version: str, tmp_path: Path) -> None:
    file = tmp_path / "edits.jsonl"
    for content, complaint in (
        ('{"exampleId": "r1", "text": {"message": 1, "text": " "}}', "the answer has no text"),
        ('{"exampleId": "r1"}\n', "change"),
        ('{"exampleId": "r1", "colour": "red"}', "Line 1: "),
        ("\n{", "edits.jsonl:2 is not JSON"),
        ("[]", "edits.jsonl:1 is no JSON object"),
        ('{"add": {"images": [{"file": "none.jpg"}]}}', "there is no file none.jpg"),
    ):
        file.write_text(content)
        done = stack.cli("dataset", "edit", version, "--file", str(file), check=False)
        assert done.returncode == 1, content
        assert complaint in done.stderr
    assert "There is nothing to do" in stack.cli("dataset", "edit", version, check=False).stderr
    assert "No drafts." in stack.cli("dataset", "drafts", DATASET).stdout


def test_a_draft_can_be_given_up_or_moved(stack: Stack, version: str, tmp_path: Path) -> None:
    (tmp_path / "edits.jsonl").write_bytes(archives.jsonl({"exampleId": "r4", "split": "test"}))
    begun = stack.cli("dataset", "edit", version, "--file", str(tmp_path / "edits.jsonl"), "-o", "json")
    name = json.loads(begun.stdout)["name"]
    moved = stack.cli("dataset", "edit", DATASET, "--draft", name, "--rebase", "-o", "json")
    newest = json.loads(stack.cli("dataset", "show", DATASET, "-o", "json").stdout)["name"]
    assert json.loads(moved.stdout)["baseVersion"] == newest
    stack.cli("dataset", "edit", DATASET, "--draft", name, "--discard")
    assert "No drafts." in stack.cli("dataset", "drafts", DATASET).stdout


@pytest.mark.parametrize("filename", ["numbers.tar.gz", "numbers.zip"])
def test_a_version_is_exported_and_imports_as_the_same(
    stack: Stack, version: str, tmp_path: Path, filename: str
) -> None:
    target = tmp_path / "new" / filename
    done = stack.cli("dataset", "export", version, "--format", "llava", "--output-file", str(target))
    assert f"Exported edited/v1 as llava: {target}" in done.stdout
    copy = f"copy-{filename.partition('.')[2].replace('.', '-')}"
    stack.cli("dataset", "import", str(target), "-d", copy)
    digests = [
        json.loads(stack.cli("dataset", "show", name, "-o", "json").stdout)["digest"]
        for name in (version, f"{copy}/v1")
    ]
    assert digests[0] == digests[1]
    refused = stack.cli("dataset", "export", version, "--output-file", "numbers.rar", check=False)
    assert refused.returncode == 1
    assert "numbers.rar is none of .tar.gz, .tgz, .tar, .zip" in refused.stderr
    unfit = stack.cli("dataset", "export", version, "--format", "image-caption", check=False)
    assert "reason: ExportUnfit" in unfit.stderr
    stack.cli("dataset", "delete", f"{copy}/v1", "--force")
    assert "No versions yet" in stack.cli("dataset", "versions", copy).stdout


def test_webdataset_comes_as_numbered_tars_if_that_is_asked_for(
    stack: Stack, version: str, tmp_path: Path
) -> None:
    numbered = ("--output-file", str(tmp_path / "part-%06d.tar"))
    done = stack.cli("dataset", "export", version, "--format", "webdataset", *numbered)
    assert f"as webdataset: {tmp_path}/part-{{000000..000000}}.tar" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["part-000000.tar"]
    refused = stack.cli("dataset", "export", version, "--format", "llava", *numbered, check=False)
    assert "Only webdataset is several files." in refused.stderr
