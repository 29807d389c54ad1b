"""Completion, as a shell asks for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

VISIONTUNE = str(Path(sys.executable).with_name("visiontune"))


def completions(line: str) -> list[str]:
    """What bash offers for the last word of `line`."""
    variables = {
        "_VISIONTUNE_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
    }
    return subprocess.run(
        [VISIONTUNE], env={**os.environ, **variables}, capture_output=True, text=True, check=True
    ).stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "visiontune ",
            {
                *("dataset", "train", "job", "models", "accelerators", "storage"),
                *("demo", "up", "down", "status", "config"),
            },
        ),
        ("visiontune dataset im", {"import"}),
        ("visiontune job list --out", {"--output"}),
        ("visiontune job list --output ", {"text", "json"}),
    ],
)
def test_words_are_completed(line: str, expected: set[str]) -> None:
    assert set(completions(line)) == expected


def test_completion_is_installed_for_the_shell_that_asks(tmp_path: Path) -> None:
    # A second command keeps the shell from making way for the first.
    subprocess.run(
        ["bash", "-c", f"'{VISIONTUNE}' --install-completion && true"],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        check=True,
    )
    script = tmp_path / ".bash_completions" / "visiontune.sh"
    assert "_VISIONTUNE_COMPLETE=complete_bash" in script.read_text()
    assert str(script) in (tmp_path / ".bashrc").read_text()
