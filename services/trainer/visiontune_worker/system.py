"""What the attempt takes of its machine: CPU, memory, disk, and accelerators where NVIDIA's library is there.

Rank 0 measures its own machine: the processes of the attempt there, and the accelerators that they use.
"""

import os
import resource
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from statistics import fmean
from typing import Any, NamedTuple, Protocol

import psutil
import structlog
import torch

FIRST_S = 2.0
EVERY_S = 10.0

log = structlog.get_logger(__name__)


class Taken(NamedTuple):
    """What processes have taken since they began, and hold now."""

    cpu_s: float
    read_bytes: int
    memory_bytes: int


class Accelerators(Protocol):
    """Reads the accelerators of this machine."""

    def read(self) -> Mapping[str, float]:
        """Values by name."""


class Sampler:
    """Tells values every ten seconds from a thread of its own, until it is closed."""

    def __init__(
        self,
        tell: Callable[[Mapping[str, float]], None],
        accelerators: Accelerators,
        *,
        ranks_here: int = 1,
        every_s: float | None = None,
    ) -> None:
        self._tell = tell
        # Several processes of one machine were all started by torchrun.
        self._root = psutil.Process() if ranks_here == 1 else psutil.Process(os.getppid())
        self._accelerators = accelerators
        self._every_s = EVERY_S if every_s is None else every_s
        self._over = threading.Event()
        self._before = (time.monotonic(), taken(self._root))
        self._thread = threading.Thread(target=self._run, name="system", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Measures no more."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        pause_s = min(FIRST_S, self._every_s)
        while not self._over.wait(pause_s):
            pause_s = self._every_s
            self._tell({**self._processes(), **self._accelerators.read()})

    def _processes(self) -> dict[str, float]:
        (then, before), now, found = self._before, time.monotonic(), taken(self._root)
        self._before = now, found
        return rates(before, found, now - then)


def rates(before: Taken, after: Taken, took_s: float) -> dict[str, float]:
    """Metrics from two looks. A process that ended in between took its counts with it: never below 0."""
    return {
        "system_cpu_percent": 100 * max(0.0, after.cpu_s - before.cpu_s) / took_s,
        "system_memory_bytes": float(after.memory_bytes),
        "system_memory_peak_bytes": float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024),
        "system_disk_read_bytes_per_second": max(0, after.read_bytes - before.read_bytes) / took_s,
    }


def taken(root: psutil.Process) -> Taken:
    """Of a process and all that it started."""
    cpu_s, read_bytes, memory_bytes = 0.0, 0, 0
    processes = [root]
    with suppress(psutil.Error):
        processes += root.children(recursive=True)
    for process in processes:
        with suppress(psutil.Error, OSError):  # It ended just now, or is none of ours any more.
            times = process.cpu_times()
            cpu_s += times.user + times.system
            memory_bytes += process.memory_info().rss
            read_bytes += process.io_counters().read_bytes
    return Taken(cpu_s, read_bytes, memory_bytes)


class NoAccelerators:
    """There are none, or nobody can read them."""

    def read(self) -> Mapping[str, float]:
        """Nothing."""
        return {}


class Nvml:
    """NVIDIA's management library, asked about some devices."""

    def __init__(self, nvml: Any, handles: Sequence[Any]) -> None:
        self._nvml = nvml
        self._handles = handles

    def read(self) -> Mapping[str, float]:
        """Of several devices: the mean utilisation, the fullest, the hottest, and all power together."""
        nvml = self._nvml
        asked: Mapping[str, tuple[Callable[[Any], float], Callable[[Sequence[float]], float]]] = {
            "system_gpu_percent": (lambda each: nvml.nvmlDeviceGetUtilizationRates(each).gpu, fmean),
            "system_gpu_memory_bytes": (lambda each: nvml.nvmlDeviceGetMemoryInfo(each).used, max),
            "system_gpu_celsius": (
                lambda each: nvml.nvmlDeviceGetTemperature(each, nvml.NVML_TEMPERATURE_GPU),
                max,
            ),
            "system_gpu_watts": (lambda each: nvml.nvmlDeviceGetPowerUsage(each) / 1000, sum),
        }
        found = {}
        for name, (ask, together) in asked.items():
            with suppress(nvml.NVMLError):  # A part of a device does not tell its power, for example.
                found[name] = float(together([ask(each) for each in self._handles]))
        return found


def accelerators(devices: int) -> Accelerators:
    """The first so many devices that torch sees; none, without a word of error, where they cannot be read."""
    if not devices or not torch.cuda.is_available():
        return NoAccelerators()
    try:
        import pynvml  # noqa: PLC0415 - where there is no such device nobody needs it
    except ImportError:
        return NoAccelerators()
    try:
        pynvml.nvmlInit()
        # By their ids: torch counts those that it may use, the library all of the machine.
        ids = [f"GPU-{torch.cuda.get_device_properties(place).uuid}" for place in range(devices)]
        return Nvml(pynvml, [pynvml.nvmlDeviceGetHandleByUUID(each) for each in ids])
    except pynvml.NVMLError as error:
        log.info("accelerators_not_read", error=str(error))
        return NoAccelerators()
