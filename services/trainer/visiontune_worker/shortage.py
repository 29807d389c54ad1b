"""Lack of memory: how to tell it, in numbers, and how many examples to try next."""

import re
from dataclasses import dataclass

import torch

REMEDY = (
    "Lower hyperparameters.max_length, train fewer parts or by METHOD_LORA, or take an accelerator with "
    "more memory."
)
_GPU = re.compile(r"Tried to allocate ([\d.]+) (bytes|KiB|MiB|GiB)")
_CPU = re.compile(r"can't allocate memory: you tried to allocate (\d+) bytes")
_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


@dataclass(frozen=True, slots=True)
class Shortage:
    """An allocation that failed. Sizes in bytes; None where nobody knows."""

    requested: int | None
    free: int | None
    peak: int | None
    shape: tuple[int, int]  # of the pass: examples, tokens with padding; (0, 0) outside of one

    def __str__(self) -> str:
        examples, tokens = self.shape
        who = (
            f"A pass over {examples} example(s), {tokens:,} tokens with padding," if examples else "The step"
        )
        return (
            f"{who} asked for {_size(self.requested)}; {_size(self.free)} were free, and "
            f"{_size(self.peak)} had been in use at most."
        )


def is_shortage(error: RuntimeError) -> bool:
    """Whether an error means that memory did not suffice; of the CPU's allocator only the words tell."""
    return isinstance(error, torch.OutOfMemoryError) or bool(_CPU.search(str(error)))


def measure(error: RuntimeError, device: torch.device, shape: tuple[int, int]) -> Shortage:
    """What is known about a failed allocation."""
    if device.type == "cuda":
        free, peak = torch.cuda.mem_get_info(device)[0], torch.cuda.max_memory_allocated(device)
        return Shortage(requested_bytes(str(error)), free, peak, shape)
    return Shortage(
        requested_bytes(str(error)), _reading("/proc/meminfo", "MemAvailable"), _own_peak(), shape
    )


def requested_bytes(message: str) -> int | None:
    """How much torch says that it wanted; None when it does not say."""
    if found := _GPU.search(message):
        return int(float(found[1]) * _UNITS[found[2]])
    found = _CPU.search(message)
    return int(found[1]) if found else None


def smaller(examples: int) -> int | None:
    """The most examples that a pass is to have after one of so many; None when one was too much."""
    return (examples + 1) // 2 if examples > 1 else None


def _own_peak() -> int | None:
    return _reading("/proc/self/status", "VmHWM")


def _reading(path: str, name: str) -> int | None:
    """A figure in kB of a pseudo file; None where there is no such file."""
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - a pseudo file
            found = next((line for line in file if line.startswith(f"{name}:")), None)
    except OSError:
        return None
    return int(found.split()[1]) * 1024 if found else None


def _size(number: int | None) -> str:
    return "an unknown amount" if number is None else f"{number / 2**20:,.0f} MiB"
