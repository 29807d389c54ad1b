"""What a job leaves: trained again by its own file, merged, registered, fetched, and traced back."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import archives
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def trained(stack: Stack, *arguments: str) -> dict[str, Any]:
    done = json.loads(stack.cli("train", *arguments, "--output", "json").stdout)
    assert done["state"] == "STATE_SUCCEEDED"
    return dict(done)


def losses(stack: Stack, job: dict[str, Any]) -> list[float]:
    with stack.client() as client:
        return [point.values["loss"] for point in client.list_metrics(job["name"]) if "loss" in point.values]


def test_a_result_makes_itself_again_and_goes_on_as_a_model(stack: Stack, tmp_path: Path) -> None:
    data = tmp_path / "data.tar"
    data.write_bytes(archives.tar(archives.numbered(40)))
    stack.cli("dataset", "import", str(data), "-d", "results")
    first = trained(stack, "-d", "results", "-m", "tiny-llava", "--max-steps", "3", "--name", "first")
    stack.cli("job", "artifacts", "first", "--download", str(tmp_path))
    again = trained(stack, "--file", str(tmp_path / "model" / "reproduce.yaml"))
    assert again["specDigest"] == first["specDigest"]
    assert len(losses(stack, first)) == 3
    assert losses(stack, again) == losses(stack, first)
    assert again["metricsAfter"] == first["metricsAfter"]

    stack.cli("models", "register", "whole", "--job", "first")
    file = tmp_path / "job.yaml"
    file.write_text("spec: {publish: {merged: true}}")
    short = ("-d", "results", "-m", "whole", "--max-steps", "2", "--name", "second")
    trained(stack, "--file", str(file), *short)
    stack.cli("models", "register", "merged", "--job", "second", "--artifact", "merged")
    stack.cli("job", "delete", "second")
    stack.cli("models", "delete", "whole")
    shown = stack.cli("models", "show", "merged").stdout
    assert "whole model" in shown
    assert "second (deleted)" in shown
    assert "whole (deleted)" in shown
    assert "presets/tiny-llava" in shown
    stack.cli("models", "download", "merged", "--to", str(tmp_path / "merged"))
    assert (tmp_path / "merged" / "model.safetensors").exists()
    refused = stack.cli("models", "export", "merged", check=False)
    assert 'no models of the family "llava"' in refused.stderr
    last = trained(stack, "-d", "results", "-m", "merged", "--max-steps", "1", "--name", "last")
    adaptation = last["resolvedSpec"]["adaptation"]
    assert adaptation["method"] == "METHOD_LORA"
    stack.cli("job", "artifacts", "last", "--download", str(tmp_path))
    adapter = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert adapter["target_modules"] == adaptation["lora"]["targetModules"] != ""
    assert adapter["target_modules"] in stack.cli("job", "show", "last").stdout
