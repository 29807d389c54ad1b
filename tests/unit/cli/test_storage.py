"""`visiontune storage`: what people type, and what is asked of the server."""

from urllib.parse import unquote

import pytest
import typer
from typer.testing import CliRunner
from visiontune.cli import app
from visiontune.cli.storage import limit_from

from tests.support.scripted_http import as_json, scripted


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("bytes=500", 500),
        ("bytes=20GiB", 20 * 2**30),
        ("bytes=1.5GB", 1_500_000_000),
        ("bytes=2T", 2 * 10**12),
        ("objects=7", 7),
        ("images=default", None),
    ],
)
def test_limits_are_numbers_with_or_without_a_unit(text: str, value: int | None) -> None:
    assert limit_from(text)[1] == value


@pytest.mark.parametrize(
    "text", ["bytes", "bytes=", "bytes=20XB", "bytes=-1", "bytes=default", "gpus=3", "=3"]
)
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        limit_from(text)


def test_gc_says_what_it_would_remove_and_how() -> None:
    response = {
        "@type": "type.googleapis.com/visiontune.storage.v1.CollectGarbageResponse",
        "dryRun": True,
        "orphans": {"count": "3", "sizeBytes": "5000"},
        "unknownFolders": ["theirs"],
    }
    done_operation = {"name": "projects/-/operations/o", "done": True, "response": response}
    with scripted(lambda _seen: as_json(done_operation)) as server:
        options = ["--server", server.url, "--api-key", "k", "--project", "p"]
        done = CliRunner().invoke(app, ["storage", "gc", "--dry-run", "--all", *options])
    assert done.exit_code == 0, done.output
    [request] = server.seen
    assert request.path == "/v1/projects/-:collectGarbage"
    assert request.json["dry_run"] is True
    for text in ("5.0 kB", "theirs/", "Nothing was removed", "visiontune storage gc --all"):
        assert text in done.output


def test_setting_a_limit_names_it_alone() -> None:
    quota = {"name": "projects/p/quota", "limitBytes": "100", "usedBytes": "60", "reservedBytes": "25"}

    with scripted(lambda _seen: as_json(quota)) as server:
        options = ["--server", server.url, "--api-key", "k", "--project", "p"]
        set_ = ["--set", "bytes=100", "--set", "images=default"]
        done = CliRunner().invoke(app, ["storage", "quota", *set_, *options])
    assert done.exit_code == 0, done.output
    assert "85 %" in done.output
    [request] = server.seen
    assert (request.method, request.json) == ("PATCH", {"limit_bytes": "100"})
    assert unquote(request.path).endswith("update_mask=limitBytes,limitImages")


def test_uploaded_files_are_listed_and_deleted() -> None:
    listed = {
        "objects": [{"name": "projects/p/objects/u-1", "filename": "lost.tar.gz", "sizeBytes": "2000000"}]
    }

    with scripted(
        lambda seen: as_json(
            listed if seen.method == "GET" else {"deletedCount": "2", "freedBytes": "4000000"}
        )
    ) as server:
        there = ["--server", server.url, "--api-key", "k", "--project", "p"]
        shown = CliRunner().invoke(app, ["storage", "uploads", *there], catch_exceptions=False)
        gone = CliRunner().invoke(app, ["storage", "delete", "u-1", "projects/p/objects/u-2", *there])
    assert "u-1 lost.tar.gz 2.0 MB" in " ".join(shown.stdout.split())
    assert "owner=projects/p/uploads" in unquote(server.seen[0].path)
    assert server.seen[-1].json["objects"] == ["projects/p/objects/u-1", "projects/p/objects/u-2"]
    assert "Deleted 2, freed 4.0 MB." in gone.stdout


def test_egress_is_told_day_by_day() -> None:
    answer = {
        "sentBytes": "3000000",
        "cost": 1.25,
        "days": [{"startTime": "2026-03-01T00:00:00Z", "sentBytes": "3000000"}],
    }
    with scripted(lambda _seen: as_json(answer)) as server:
        options = ["--server", server.url, "--api-key", "k", "--project", "p"]
        done = CliRunner().invoke(app, ["storage", "egress", "--days", "7", *options])
    assert done.exit_code == 0, done.output
    assert server.seen[0].path.startswith("/v1/storageEgress?start_time=")
    for text in ("2026-03-01", "3.0 MB in 7 days, which cost 1.25."):
        assert text in done.output
