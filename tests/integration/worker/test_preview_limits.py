"""The program that shows what training sees takes no more time and memory than it is given."""

import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow
# As long as no call is known to be: the C thread of the watchdog ends even what never returns to Python.
HANGS = """
import time
from visiontune_worker.preview import Turns
with Turns(5.0).taken():
    pass
with Turns(0.5).taken():
    time.sleep(60)
"""
SWELLS = """
from visiontune_worker.preview import Settings, _limit
_limit(Settings(memory_gib=2.0))
kept = []
try:
    while True:
        kept.append(bytearray(256 * 1024**2))
except MemoryError:
    print(len(kept))
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_call_that_takes_too_long_ends_the_program_wherever_it_is() -> None:
    began = time.monotonic()
    ended = run(HANGS)
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
    assert time.monotonic() - began < 50


def test_memory_ends_where_it_is_said_to() -> None:
    ended = run(SWELLS)
    assert ended.returncode == 0, ended.stderr
    assert 0 < int(ended.stdout) <= 8
