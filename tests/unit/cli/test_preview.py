"""What `visiontune dataset preview` asks for and writes; a scripted gateway stands at the process border."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result
from visiontune.cli import app

from tests.support.scripted_http import Answer, Seen, as_json, scripted

VERSION = "projects/p/datasets/d/versions/v1"
ANSWER = {
    "examples": [
        {
            "example": f"{VERSION}/examples/{row}",
            "contentType": "image/jpeg",
            "original": base64.b64encode(b"plain").decode(),
            "augmented": [base64.b64encode(f"{row}/{epoch}".encode()).decode() for epoch in range(2)],
            "widthPx": 64,
            "heightPx": 48,
        }
        for row in (0, 12)
    ],
    "warnings": ["With <b>Flip</b> a text may be wrong."],
}


def preview(*arguments: str) -> tuple[Result, list[Seen]]:
    def gateway(_: Seen) -> Answer:
        return as_json(ANSWER)

    with scripted(gateway) as server:
        connection = ("--server", server.url, "--api-key", "k", "--project", "p")
        result = CliRunner().invoke(app, ["dataset", "preview", "d/v1", *arguments, *connection])
    return result, server.seen


def test_pictures_and_a_page_that_shows_them_are_written(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "sheet"
    result, seen = preview("--augmentation", "strong", "--output-dir", str(folder), "--count", "4")
    assert result.exit_code == 0, result.output
    assert seen[-1].path == f"/v1/{VERSION}:previewAugmentation"
    assert seen[-1].json == {"augmentation": {"preset": "PRESET_STRONG"}, "count": 4, "side_px": 512}
    names = [
        f"{row}-{what}.jpg" for row in ("000000", "000012") for what in ("original", "epoch-0", "epoch-1")
    ]
    assert sorted(each.name for each in folder.iterdir()) == sorted([*names, "contact-sheet.html"])
    assert (folder / "000012-epoch-1.jpg").read_bytes() == b"12/1"
    page = (folder / "contact-sheet.html").read_text("utf-8")
    assert all(f'src="{name}"' in page for name in names)
    assert "With &lt;b&gt;Flip&lt;/b&gt; a text" in page
    assert "Warning With <b>Flip</b>" in result.output
    assert "6 pictures. Look at them: " in result.output


def test_rows_seed_model_and_the_policy_of_a_file_are_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("spec:\n  augmentation:\n    transforms: [{name: JPEG, parameters: {quality_min: 30}}]\n")
    options = ("--row", "3", "--row", "1", "--seed", "0", "--model", "presets/tiny-llava", "--side-px", "64")
    result, seen = preview("--file", str(file), "--output-dir", str(tmp_path), *options, "--output", "json")
    assert result.exit_code == 0, result.output
    body: Any = seen[-1].json
    assert body["augmentation"] == {"transforms": [{"name": "JPEG", "parameters": {"quality_min": 30.0}}]}
    assert (body["rows"], str(body["seed"]), body["model_preset"]) == (["3", "1"], "0", "tiny-llava")
    printed = json.loads(result.stdout)
    assert printed["files"][0] == str(tmp_path / "contact-sheet.html")
    assert printed["warnings"] == ANSWER["warnings"]


@pytest.mark.parametrize("arguments", [(), ("--augmentation", "light", "--file", __file__)])
def test_a_policy_is_named_once(arguments: tuple[str, ...], tmp_path: Path) -> None:
    result, seen = preview("--output-dir", str(tmp_path), *arguments)
    assert result.exit_code == 2
    assert "name the policy" in result.output
    assert seen == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result, _ = preview("--augmentation", "light", "--output-dir", str(tmp_path / "file" / "below"))
    assert result.exit_code == 1
    assert "cannot be written: Not a directory." in str(result.exception)
