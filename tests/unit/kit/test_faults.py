"""Fault points kill a real process at the passage they name, and never otherwise."""

import os
import signal
import subprocess
import sys

import pytest

PROGRAM = """
from visiontune_kit import faults
for passage in range(1, 5):
    faults.point("here")
    print(passage, flush=True)
"""


@pytest.mark.parametrize(
    ("order", "passed", "code"),
    [
        ("here:kill@3", 2, -signal.SIGKILL),
        ("there:kill@1", 4, 0),
        ("", 4, 0),
        ("here:kill", 0, -signal.SIGKILL),
    ],
)
def test_a_process_dies_at_the_named_passage(order: str, passed: int, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "VISIONTUNE_FAULT": order},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert len(done.stdout.split()) == passed
