"""Augmentation as a user meets it: looked at, refused where it belies the texts, trained with, shown."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support.stack import Stack

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
FLIP = """
spec:
  augmentation:
    transforms:
      - {name: RandomHorizontalFlip}
"""


def test_a_policy_is_looked_at_refused_allowed_and_trained_with(stack: Stack, tmp_path: Path) -> None:
    archive = tmp_path / "digits.tar.gz"
    subprocess.run([sys.executable, str(ROOT / "examples/digits.py"), str(archive)], check=True)
    stack.cli("dataset", "import", str(archive), "--dataset", "augmented")

    folder = tmp_path / "preview"
    shown = stack.cli(
        *("dataset", "preview", "augmented", "--augmentation", "strong", "--output-dir", str(folder)),
        *("--count", "6", "--row", "5", "--row", "9", "--model", "tiny-llava"),
    )
    assert "8 pictures. Look at them: " in shown.stdout
    pictures = sorted(folder.glob("*.jpg"))
    assert len(pictures) == 8
    assert {Image.open(each).size for each in pictures} == {(32, 32)}
    assert len({each.read_bytes() for each in pictures}) == 8

    flip = tmp_path / "flip.yaml"
    flip.write_text(FLIP)
    job = ("train", "-d", "augmented", "-m", "tiny-llava", "--max-steps", "2")
    refused = stack.cli(*job, "--file", str(flip), check=False)
    assert refused.returncode == 1
    assert 'examples are about reading ("digit")' in refused.stderr
    warned = stack.cli("dataset", "preview", "augmented", "-f", str(flip), "--output-dir", str(folder))
    assert "Warning With RandomHorizontalFlip a text may no longer be true" in warned.stderr

    seen = stack.cli(*job, "--augmentation", "strong", "--preview", "--preview-count", "2").stdout
    assert "llava, causal_lm; at most 2,048 tokens" in seen
    assert seen.count("<image>×16") == 2
    assert seen.count("of 32×32 px seen as 32×32") == 2
    assert "</s>⟧" in seen

    flip.write_text(f"{FLIP}    allow_text_breaking: true\n")
    done = json.loads(stack.cli(*job, "--file", str(flip), "--output", "json").stdout)
    assert done["state"] == "STATE_SUCCEEDED"
    [transform] = done["resolvedSpec"]["augmentation"]["transforms"]
    assert transform == {"name": "RandomHorizontalFlip", "parameters": {"probability": 0.5}}
    name = done["name"].rpartition("/")[2]
    assert "augmentation" in (table := stack.cli("job", "show", name).stdout)
    assert "RandomHorizontalFlip" in table
