"""`visiontune dataset validate`: what an import would find, without a server."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support import archives, warm_cli

BAD = archives.good(2) | {
    "train.jsonl": archives.jsonl(archives.llava("img/0000.jpg"), archives.llava("b.jpg"))
}
MISSING = 'train.jsonl:2 › $.image: no file "b.jpg" in the archive. Add it, or import with --on-error skip.'


def validate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return warm_cli.run(["dataset", "validate", *map(str, arguments)], os.environ, 120)


@pytest.fixture(params=["d.tar.gz", "d.zip", "folder"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    if request.param != "folder":
        path.write_bytes(archives.pack(BAD, request.param))
        return path
    for name, content in BAD.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def test_bad_data_is_reported_and_would_be_refused(data: Path) -> None:
    name = "folder.tar" if data.is_dir() else data.name
    done = validate(data)
    assert done.returncode == 1
    assert f"{name} would be refused: 2 records, 0 examples" in done.stdout
    assert f"{name} › {MISSING}" in done.stdout
    skipping = validate(data, "--on-error", "skip", "-o", "json")
    assert skipping.returncode == 0
    report = json.loads(skipping.stdout)
    assert (report["exampleCount"], report["skippedCount"], report["errorCount"]) == ("1", "1", "1")
    assert [rule["rule"] for rule in report["rules"]] == ["image-missing", "image-unused"]


def test_what_would_be_imported_together_is_checked_together(tmp_path: Path) -> None:
    records = tmp_path / "train.jsonl"
    records.write_bytes(BAD["train.jsonl"])
    pictures = tmp_path / "pictures.zip"
    pictures.write_bytes(
        archives.pack({name: data for name, data in BAD.items() if name != records.name}, pictures.name)
    )
    done = validate(records, pictures)
    assert "train.jsonl and 1 more would be refused: 2 records, 0 examples" in done.stdout
    assert f"train.jsonl and 1 more › {MISSING}" in done.stdout


def test_what_is_not_there_or_no_format_is_said(tmp_path: Path) -> None:
    assert validate(tmp_path / "absent.tar").returncode == 2
    (tmp_path / "d.tar").write_bytes(archives.tar(BAD))
    done = validate(tmp_path / "d.tar", "--format", "yolo")
    assert done.returncode == 1
    assert 'There is no format "yolo".' in done.stderr
