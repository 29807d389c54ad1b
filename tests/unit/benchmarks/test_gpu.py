"""The commands for accelerators run to their end without one, and count work as their README says."""

import subprocess
import sys

import pytest

from benchmarks.gpu.shapes import flops_of

pytestmark = pytest.mark.slow


def test_work_is_four_operations_for_each_weight_that_speaks_and_two_for_each_that_sees() -> None:
    assert flops_of(decoder=10, tokens=3, tower=7, patches=5) == 4 * 10 * 3 + 2 * 7 * 5


@pytest.mark.timeout(300)
def test_ours_and_trl_take_turns_on_the_same_model() -> None:
    asked = ["--shape", "tiny", "--on-cpu", "--batch", "2", "--steps", "2", "--rounds", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *asked], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for line in ("| training tiny-qwen2-vl, lora", "| MFU of", "| peak memory of"):
        assert line in done.stdout
    assert "the processor" in done.stdout
