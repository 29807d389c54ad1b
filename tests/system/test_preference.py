"""Pairs of answers as a user meets them: a template is imported, searched, trained on and written again."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_pairs_are_imported_trained_on_and_exported(stack: Stack, tmp_path: Path) -> None:
    stack.cli("dataset", "template", "preference", "--output-dir", str(tmp_path / "pairs"))
    packed = shutil.make_archive(str(tmp_path / "template"), "gztar", tmp_path / "pairs")
    stack.cli("dataset", "import", packed, "--dataset", "pairs")
    listed = stack.cli("dataset", "examples", "pairs", "--query", "what digit").stdout
    assert "What digit is this? | Zero. | One." in listed

    job = ("train", "-d", "pairs", "-m", "tiny-llava", "--max-steps", "2", "--output", "json")
    done = json.loads(stack.cli(*job).stdout)
    assert done["state"] == "STATE_SUCCEEDED"
    assert done["resolvedSpec"]["objective"] == "OBJECTIVE_PREFERENCE"
    assert done["metricsAfter"].keys() == {"loss", "preference_accuracy", "reward_margin"}
    refused = stack.cli("train", "-d", "pairs", "-m", "tiny-text", "--dry-run", check=False)
    assert "cannot train on examples of kind PREFERENCE" in refused.stdout + refused.stderr

    written = tmp_path / "pairs.tar.gz"
    stack.cli("dataset", "export", "pairs", "--output-file", str(written))
    stack.cli("dataset", "import", str(written), "--dataset", "again")
    digests = {
        json.loads(stack.cli("dataset", "show", f"{name}/v1", "--output", "json").stdout)["digest"]
        for name in ("pairs", "again")
    }
    assert len(digests) == 1
