"""Commands as a shell sees them: exit codes, and what is on stdout."""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from rich.console import Console
from typer.testing import CliRunner
from visiontune.cli import app
from visiontune.cli.importing import await_import
from visiontune.cli.session import Session

from tests.support import warm_cli
from tests.support.scripted_http import Answer, Seen, as_json, scripted

COMMANDS = [
    ["up"], ["down"], ["status"], ["config"], ["train"], ["demo"], ["models"], ["accelerators"],
    *[["dataset", verb] for verb in ("import", "list", "show", "report", "delete", "undelete")],
    *[["dataset", verb] for verb in ("examples", "template", "preview", "filter")],
    *[["storage", verb] for verb in ("quota", "alerts", "usage", "gc", "put", "uploads", "delete")],
    *[["job", verb] for verb in ("list", "show", "watch", "pause", "resume", "cancel")],
    *[["job", verb] for verb in ("logs", "artifacts", "samples")],
]  # fmt: skip


def visiontune(*arguments: str, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return warm_cli.run(arguments, environment(home, variables), 60)


def environment(home: Path, variables: Mapping[str, str]) -> dict[str, str]:
    own = {k: v for k, v in os.environ.items() if not k.startswith("VISIONTUNE_")}
    return {**own, "VISIONTUNE_HOME": str(home), "COLUMNS": "200", **variables}


def begun(*arguments: str, home: Path, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from visiontune.cli import main; main()", *arguments],
        env=environment(home, variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "--output" in result.output


def test_wrong_use_is_exit_code_2(tmp_path: Path) -> None:
    for wrong in (
        ["train", "--bogus"],
        ["dataset", "import", str(tmp_path / "none.zip"), "-d", "x"],
        ["jobs"],
    ):
        assert CliRunner().invoke(app, wrong).exit_code == 2, wrong


def test_without_a_server_the_next_command_is_said(tmp_path: Path) -> None:
    done = visiontune("dataset", "list", home=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "visiontune up --detach" in done.stderr


def test_json_is_the_resource_and_nothing_else(tmp_path: Path) -> None:
    version = {
        "name": "projects/p/datasets/d/versions/v1",
        "exampleCount": "3",
        "splitCounts": {"train": "3"},
    }
    with scripted(lambda _seen: as_json(version)) as server:
        done = visiontune(
            "dataset", "show", "d/v1", "-o", "json",
            "--server", server.url, "--api-key", "k", "--project", "p",
            home=tmp_path,
        )  # fmt: skip
    assert done.returncode == 0
    assert json.loads(done.stdout) == version


def printed(answer: Callable[[Seen], Answer], *command: str) -> str:
    """What the command prints, its columns one space apart."""
    with scripted(answer) as server:
        connection = ("--server", server.url, "--api-key", "k", "--project", "p")
        wide = {"COLUMNS": "200"}
        result = CliRunner().invoke(app, [*command, *connection], env=wide, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return re.sub(r" +", " ", result.stdout)


def test_accelerators_are_listed_with_what_is_known_of_them() -> None:
    known = {
        "name": "projects/p/accelerators/nvidia-l4",
        "memoryBytes": str(24 * 2**30),
        "maxCount": 8,
        "spotAvailable": True,
        "pricePerHour": 0.7,
        "spotPricePerHour": 0.25,
    }
    bare = {"name": "projects/p/accelerators/nvidia-t4", "maxCount": 1}
    pages = {"": {"accelerators": [known], "nextPageToken": "2"}, "2": {"accelerators": [bare]}}

    def page(seen: Seen) -> Answer:
        url = urlsplit(seen.path)
        assert url.path == "/v1/projects/p/accelerators"
        return as_json(pages[parse_qs(url.query).get("page_token", [""])[0]])

    text = printed(page, "accelerators")
    assert "nvidia-l4 24 GiB up to 8 0.70 yes 0.25" in text
    assert "nvidia-t4 - up to 1 - no -" in text
    assert json.loads(printed(page, "accelerators", "--output", "json")) == [known, bare]
    assert "None that is known here" in printed(lambda _seen: as_json({}), "accelerators")


def test_examples_are_listed_as_far_as_asked() -> None:
    base = "projects/p/datasets/d/versions/v1/examples"
    first = {
        "name": f"{base}/0",
        "exampleId": "r0",
        "split": "train",
        "messages": [{"role": "user", "content": [{"type": "TYPE_IMAGE"}, {"text": "What\nis it?"}]}],
        "images": [{}],
        "tags": ["night", "rain"],
    }
    second = {"name": f"{base}/1", "exampleId": "r1", "texts": ["a " * 60]}

    def page(seen: Seen) -> Answer:
        url = urlsplit(seen.path)
        query = parse_qs(url.query)
        assert url.path == "/v1/projects/p/datasets/d/versions/v1/examples"
        assert (query["filter"], query["query"], query["page_size"]) == (["has:tags"], ["it"], ["2"])
        return as_json({"examples": [first, second, first], "nextPageToken": "more"})

    command = ("dataset", "examples", "d/v1", "--filter", "has:tags", "--query", "it", "--limit", "2")
    text = printed(page, *command)
    assert "0 r0 train 1 What is it? night, rain" in text
    assert f"1 r1 0 {'a ' * 29}a…" in text
    assert json.loads(printed(page, *command, "--output", "json")) == [first, second]

    def largest(seen: Seen) -> Answer:
        assert parse_qs(urlsplit(seen.path).query)["order_by"] == ["image_pixels desc"]
        return as_json({"examples": [first]})

    assert "0 r0 train" in printed(largest, "dataset", "examples", "d/v1", "--largest", "images")
    assert "No examples match." in printed(lambda _seen: as_json({}), "dataset", "examples", "d/v1")


def test_a_job_is_shown_with_the_hours_that_it_used() -> None:
    def answer(seen: Seen) -> Answer:
        if "acceleratorUsage" in seen.path:
            used = {"accelerator": "nvidia-l4", "acceleratorHours": 1.5, "cost": 1.05}
            return as_json({"usage": [used, {"accelerator": "nvidia-t4", "acceleratorHours": 0.25}]})
        best = {"step": "120", "metric": "rouge_l", "value": 0.5, "evaluationsWithoutProgress": 1}
        return as_json({"name": "projects/p/trainingJobs/j", "progress": {"best": best}})

    text = printed(answer, "job", "show", "j")
    assert "accelerator hours 1.50 nvidia-l4 (cost 1.05), 0.25 nvidia-t4" in text
    assert "best evaluation rouge_l 0.5000 at step 120, 1 evaluation since without progress" in text


def test_what_was_said_about_an_example_is_shown_step_by_step() -> None:
    version = "projects/p/datasets/d/versions/v1"
    said = [{"text": "one"}, {"step": "10", "text": "\x1b[31mtwo"}]
    sample = {"example": f"{version}/examples/3", "expected": "two", "answers": said}

    def answer(seen: Seen) -> Answer:
        url = urlsplit(seen.path)
        if url.path.endswith("/samples"):
            query = parse_qs(url.query)
            assert (query["with_answers"], query["example"]) == (["true"], [f"{version}/examples/3"])
            return as_json({"samples": [sample]})
        return as_json({"name": "projects/p/trainingJobs/j", "spec": {"datasetVersion": version}})

    text = printed(answer, "job", "samples", "j", "--steps", "--example", "3")
    assert text.splitlines()[1:] == ["3 0 one two ", "3 10 ·[31mtwo two "]


@pytest.mark.parametrize(("content", "code"), [(b"b", 0), (b"another", 1)])
def test_of_several_files_each_goes_on_with_its_own_upload(content: bytes, code: int, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.zip").write_bytes(name.encode())
    there = {"name": "projects/p/uploads/u", "sha256": hashlib.sha256(content).hexdigest()}
    sent: dict[str, Any] = {}

    def script(seen: Seen) -> Answer:
        if seen.path.endswith("/uploads/u"):
            return as_json({**there, "state": "STATE_COMPLETE"})
        if seen.path.endswith(":import"):
            sent.update(seen.json)
        return as_json({"name": "projects/p/uploads/new"})

    with scripted(script) as server:
        files = [str(tmp_path / name) for name in ("a.zip", "b.zip")]
        command = ["dataset", "import", *files, "-d", "x", "--resume", "u", "--no-wait"]
        done = CliRunner().invoke(app, [*command, "--server", server.url, "--api-key", "k", "--project", "p"])
    assert done.exit_code == code
    if code:
        assert "None of these is the file of projects/p/uploads/u" in str(done.exception)
    else:
        assert (sent["upload"], sent["uploads"]) == ("projects/p/uploads/new", ["projects/p/uploads/u"])


def test_what_was_sent_is_kept_when_the_import_is_refused_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"a")

    def script(seen: Seen) -> Answer:
        if seen.path.endswith(":import"):
            return as_json({"code": 9, "message": "It is switched off."}, 400)
        return as_json({"name": "projects/p/uploads/u"})

    with scripted(script) as server:
        command = ["dataset", "import", str(tmp_path / "a.zip"), "-d", "x", "--server", server.url]
        done = CliRunner().invoke(app, [*command, "--api-key", "k", "--project", "p"])
    assert "It is switched off." in str(done.exception)
    assert "Import it: --resume projects/p/uploads/u" in done.stderr


def test_a_template_is_written_where_nothing_is_overwritten(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("images/1.png", b"picture")
        archive.writestr("README.md", b"read")
    folder = tmp_path / "new" / "here"
    command = [
        "dataset",
        "template",
        "llava",
        "--output-dir",
        str(folder),
        "--project",
        "p",
        "--api-key",
        "k",
    ]
    asked: list[str] = []

    def answer(seen: Seen) -> Answer:
        asked.append(seen.path)
        return Answer(200, packed.getvalue(), {"content-type": "application/zip"})

    with scripted(answer) as server:
        first = CliRunner().invoke(app, [*command, "--server", server.url])
        again = CliRunner().invoke(app, [*command, "--server", server.url])
    assert asked[0] == "/v1/formats/llava:template"
    assert (first.exit_code, (folder / "images/1.png").read_bytes()) == (0, b"picture")
    assert again.exit_code == 1
    assert "exists" in str(again.exception)


def test_a_refusal_is_exit_code_1_with_nothing_on_stdout(tmp_path: Path) -> None:
    with scripted(lambda _seen: as_json({"code": 5, "message": "There is no job j."}, 404)) as server:
        done = visiontune(
            "job", "show", "j", "-o", "json", home=tmp_path,
            VISIONTUNE_SERVER=server.url, VISIONTUNE_API_KEY="k", VISIONTUNE_PROJECT="p",
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: There is no job j." in done.stderr
    assert "Traceback" not in done.stderr


def test_server_and_key_of_this_machines_stack_are_found(tmp_path: Path) -> None:
    with scripted(lambda _seen: as_json({})) as server:
        (tmp_path / "stack.json").write_text(json.dumps({"url": server.url}))
        (tmp_path / "api-key").write_text("vt_a_b\n")
        done = visiontune("job", "list", "--project", "p", home=tmp_path)
    assert done.returncode == 0
    assert "No jobs yet" in done.stdout
    assert server.seen[0].headers["authorization"] == "Bearer vt_a_b"


def test_an_empty_archive_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "a.zip").touch()
    with scripted(lambda _seen: as_json({"name": "projects/p/datasets/d"})) as server:
        done = visiontune(
            "dataset", "import", str(tmp_path / "a.zip"), "-d", "d", home=tmp_path,
            VISIONTUNE_SERVER=server.url, VISIONTUNE_API_KEY="k", VISIONTUNE_PROJECT="p",
        )  # fmt: skip
    assert done.returncode == 1
    assert "a.zip is empty" in done.stderr
    assert [seen.method for seen in server.seen] == ["GET"]


REPORT = {
    "filename": "a.zip", "errorCount": "1",
    "rules": [{"rule": "json-syntax", "severity": "SEVERITY_ERROR", "count": "1",
               "problems": [{"text": "a.zip › train.jsonl:3: not JSON. Mend the line."}]}],
}  # fmt: skip


def refusing(seen: Seen) -> Answer:
    """A gateway whose import finds a problem (a double at a process border)."""
    base = "projects/p/datasets/d"
    if seen.path.endswith("/operations/o"):
        metadata = {
            "@type": "type.googleapis.com/visiontune.dataset.v1.ImportVersionMetadata",
            "validationReport": f"{base}/validationReports/o",
        }
        error = {"code": 3, "message": "The archive has 1 error."}
        return as_json({"name": f"{base}/operations/o", "done": True, "metadata": metadata, "error": error})
    return as_json(REPORT)


def test_an_import_that_finds_problems_shows_them_and_fails(tmp_path: Path) -> None:
    with scripted(refusing) as server:
        done = visiontune(
            "dataset", "wait", "projects/p/datasets/d/operations/o", "-o", "json", home=tmp_path,
            VISIONTUNE_SERVER=server.url, VISIONTUNE_API_KEY="k", VISIONTUNE_PROJECT="p",
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert "a.zip › train.jsonl:3: not JSON. Mend the line." in done.stderr
    assert "visiontune dataset report projects/p/datasets/d/validationReports/o" in done.stderr


def test_an_import_of_more_than_a_second_shows_how_far_it_is_on_a_terminal() -> None:
    polls = iter(range(100))

    def importing(_seen: Seen) -> Answer:
        metadata = {
            "@type": "type.googleapis.com/visiontune.dataset.v1.ImportVersionMetadata",
            "progressPercent": 47,
        }
        ended = {
            "done": True,
            "response": {"@type": "type.googleapis.com/visiontune.dataset.v1.DatasetVersion"},
        }
        return as_json({"name": "o", "metadata": metadata, **(ended if next(polls) == 5 else {})})

    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with scripted(importing) as server:
        session = Session(server=server.url, api_key="k", project="p", err=console)
        await_import(session, session.client.get_operation("projects/p/datasets/d/operations/o"))
    assert isinstance(console.file, io.StringIO)
    assert re.search("Importing.+ 47%", console.file.getvalue())


def test_status_without_a_stack_is_exit_code_1(tmp_path: Path) -> None:
    done = visiontune("status", home=tmp_path)
    assert done.returncode == 1
    assert "visiontune up" in done.stdout


def test_down_without_a_stack_is_no_failure(tmp_path: Path) -> None:
    assert visiontune("down", home=tmp_path).returncode == 0


def test_config_shows_sources_and_masks_secrets(tmp_path: Path) -> None:
    done = visiontune(
        "config", "-o", "json", home=tmp_path, VISIONTUNE_PORT="9000",
        VISIONTUNE_STORAGE_S3_SECRET_KEY="hush", VISIONTUNE_STORAGE_S3_ENDPOINT="s3.example.org",
        VISIONTUNE_STORAGE_BUCKET="own",
    )  # fmt: skip
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert "hush" not in done.stdout
    assert rows["VISIONTUNE_PORT"]["source"] == "environment"
    assert rows["VISIONTUNE_STORAGE_PORT"] == {
        **rows["VISIONTUNE_STORAGE_PORT"], "value": "9001", "source": "stack",
    }  # fmt: skip
    for name, value in (("S3_ENDPOINT", "s3.example.org"), ("BUCKET", "own")):
        row = rows[f"VISIONTUNE_STORAGE_{name}"]
        assert (row["value"], row["source"]) == (value, "environment"), name
    assert rows["VISIONTUNE_GATEWAY_OBJECT_STORE_ORIGINS"]["source"] == "stack"
    assert all(row["description"] for row in rows.values())


def test_the_gateway_of_a_supervised_stack_is_waited_for(tmp_path: Path) -> None:
    """It was killed a moment ago, and its supervisor starts it again after the first refusals."""
    with scripted(lambda _seen: as_json({})) as server:
        port = int(server.url.rpartition(":")[2])
    state = {"url": server.url, "supervisor": {"pid": os.getpid(), "started": "x"}}
    (tmp_path / "stack.json").write_text(json.dumps(state))
    (tmp_path / "api-key").write_text("vt_a_b\n")
    with begun("job", "list", "--project", "p", home=tmp_path) as command:
        assert command.stderr
        assert "Waiting: No answer" in command.stderr.readline()
        time.sleep(6)  # Longer than a server is waited for of which nothing is known.
        with scripted(lambda _seen: as_json({}), port=port):
            command.communicate(timeout=30)
    assert command.returncode == 0
