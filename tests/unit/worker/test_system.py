"""What an attempt takes of its machine."""

import os
import threading
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import psutil
import pynvml
import pytest
import torch
from visiontune_worker import system
from visiontune_worker.system import NoAccelerators, Nvml, Sampler, Taken, rates, taken

GIB = 1024**3


def test_rates_come_from_two_looks() -> None:
    found = rates(Taken(10.0, 1_000, 5), Taken(13.0, 3_000, 7), took_s=2.0)
    assert found["system_cpu_percent"] == 150
    assert found["system_disk_read_bytes_per_second"] == 1_000
    assert found["system_memory_bytes"] == 7
    assert found["system_memory_peak_bytes"] > 0


def test_a_process_that_has_ended_makes_nothing_negative() -> None:
    found = rates(Taken(10.0, 1_000, 5), Taken(1.0, 0, 5), took_s=2.0)
    assert found["system_cpu_percent"] == found["system_disk_read_bytes_per_second"] == 0


def test_the_process_itself_is_measured() -> None:
    now = taken(psutil.Process())
    assert now.cpu_s > 0
    assert now.memory_bytes > 1_000_000


def test_a_process_that_is_gone_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = psutil.Process()

    def lost(*_: Any, **__: Any) -> Any:
        raise psutil.NoSuchProcess(os.getpid())

    for name in ("children", "cpu_times"):
        monkeypatch.setattr(gone, name, lost, raising=False)
    assert taken(gone) == Taken(0.0, 0, 0)


def test_values_are_told_until_it_is_closed() -> None:
    told: list[Mapping[str, float]] = []
    enough = threading.Event()

    def tell(values: Mapping[str, float]) -> None:
        told.append(values)
        if len(told) == 2:
            enough.set()

    sampler = Sampler(tell, NoAccelerators(), every_s=0.01)
    assert enough.wait(10)
    sampler.close()
    assert {name for values in told for name in values} == {
        "system_cpu_percent",
        "system_memory_bytes",
        "system_memory_peak_bytes",
        "system_disk_read_bytes_per_second",
    }
    so_far = len(told)
    assert not sampler._thread.is_alive()
    assert len(told) == so_far


class FakeNvml:
    """NVIDIA's library at its border: two devices, of which neither tells its power."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    def nvmlDeviceGetUtilizationRates(self, device: int) -> Any:
        return SimpleNamespace(gpu=(90, 70)[device])

    def nvmlDeviceGetMemoryInfo(self, device: int) -> Any:
        return SimpleNamespace(used=(2 * GIB, 3 * GIB)[device])

    def nvmlDeviceGetTemperature(self, device: int, sensor: int) -> int:
        return (50, 60)[device]

    def nvmlDeviceGetPowerUsage(self, device: int) -> int:
        raise self.NVMLError


def test_of_several_accelerators_the_mean_the_fullest_and_the_hottest_are_told() -> None:
    assert Nvml(FakeNvml(), [0, 1]).read() == {
        "system_gpu_percent": 80,
        "system_gpu_memory_bytes": 3 * GIB,
        "system_gpu_celsius": 60,
    }


def test_without_an_accelerator_nothing_is_asked() -> None:
    assert isinstance(system.accelerators(0), NoAccelerators)


def test_where_the_library_cannot_be_had_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_a_driver() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(pynvml, "nvmlInit", without_a_driver)
    assert isinstance(system.accelerators(1), NoAccelerators)
