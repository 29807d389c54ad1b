"""Lack of memory is recognised by class or by the words of the CPU's allocator, and told in numbers."""

import pytest
import torch
from visiontune_worker import shortage
from visiontune_worker.shortage import Shortage

ON_CPU = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
    "allocate 4096 bytes. Error code 12 (Cannot allocate memory)"
)
ON_GPU = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 23.6 GiB of which 1.2 GiB"
)


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError(ON_GPU), True),
        (RuntimeError(ON_CPU), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_a_shortage_is_told_from_other_errors(error: RuntimeError, is_one: bool) -> None:
    assert shortage.is_shortage(error) is is_one


def test_torchs_own_refusal_on_the_cpu_is_recognised_and_measured() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**50, dtype=torch.uint8)
    assert shortage.is_shortage(raised.value)
    found = shortage.measure(raised.value, torch.device("cpu"), (4, 400))
    assert found.requested == 2**50
    assert found.free is not None
    assert found.peak is not None
    assert found.peak > 0 < found.free


@pytest.mark.parametrize(
    ("message", "requested"), [(ON_GPU, 5 * 2**29), (ON_CPU, 4096), ("out of memory", None)]
)
def test_what_was_asked_for_is_read_from_the_message(message: str, requested: int | None) -> None:
    assert shortage.requested_bytes(message) == requested


def test_a_shortage_reads_as_a_sentence() -> None:
    assert str(Shortage(2**30, 2**20, None, (8, 1600))) == (
        "A pass over 8 example(s), 1,600 tokens with padding, asked for 1,024 MiB; 1 MiB were free, and an "
        "unknown amount had been in use at most."
    )
    assert str(Shortage(2**30, 2**20, 2**21, (0, 0))).startswith("The step asked for 1,024 MiB;")


@pytest.mark.parametrize(("examples", "fewer"), [(16, 8), (5, 3), (2, 1), (1, None), (0, None)])
def test_the_next_pass_has_half_as_many_examples_and_at_least_one(examples: int, fewer: int | None) -> None:
    assert shortage.smaller(examples) == fewer
