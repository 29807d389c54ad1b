"""What is known of this machine's accelerator. A double stands for the driver's library."""

import sys
from types import SimpleNamespace

import pynvml
import pytest
from visiontune_trainer.compute import devices
from visiontune_trainer.ports import AcceleratorKind

GIB = 1024**3
NAMES = ("NVIDIA H100 80GB HBM3", "Tesla T4")
H100 = AcceleratorKind("nvidia-h100-80gb-hbm3", 80 * GIB, 1, False, None, None)
T4 = AcceleratorKind("tesla-t4", 15 * GIB, 1, False, None, None, has_bf16=False)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two devices; their handles are their numbers."""
    found = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: len(NAMES),
        "nvmlDeviceGetHandleByIndex": lambda place: place,
        "nvmlDeviceGetHandleByUUID": {"GPU-a": 0, "GPU-b": 1}.__getitem__,
        "nvmlDeviceGetName": NAMES.__getitem__,
        "nvmlDeviceGetMemoryInfo": lambda place: SimpleNamespace(total=(80, 15)[place] * GIB),
        "nvmlDeviceGetCudaComputeCapability": lambda place: ((9, 0), (7, 5))[place],
    }
    for name, function in found.items():
        monkeypatch.setattr(pynvml, name, function)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [(None, [H100]), ("1,0", [T4]), ("GPU-b", [T4]), ("", []), ("-1", []), ("2", [])],
)
def test_it_is_the_first_that_programs_may_use(
    library: None, visible: str | None, expected: list[AcceleratorKind]
) -> None:
    told = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert devices.found(told) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, []),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, []),
        (pynvml.NVML_ERROR_NO_PERMISSION, None),
    ],
)
def test_where_there_is_no_driver_there_is_none_and_a_failure_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, error: int, expected: list[AcceleratorKind] | None
) -> None:
    def fail() -> None:
        raise pynvml.NVMLError(error)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    assert devices.found({}) == expected


def test_without_the_binding_nobody_can_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert devices.found({}) is None


def test_an_operator_names_it_with_or_without_its_memory() -> None:
    assert devices.named("mi300x:192") == AcceleratorKind("mi300x", 192 * GIB, 1, False, None, None)
    assert devices.named("other") == AcceleratorKind("other", None, 1, False, None, None)
