"""A machine's accelerator, as NVIDIA's management library tells: torch is not for servers to import."""

import os
import re
from collections.abc import Mapping
from typing import Any

from visiontune_kit import logs

from visiontune_trainer.ports import AcceleratorKind

_LONGEST_NAME = 63
_GIB = 1024**3
# The first generation whose arithmetic knows bfloat16.
_BF16_SINCE = (8, 0)

log = logs.get(__name__)


def named(text: str) -> AcceleratorKind:
    """What an operator says of it: a name, or `name:GIB`."""
    name, _, gib = text.partition(":")
    return _kind(name, int(gib) * _GIB if gib else None)


def found(environment: Mapping[str, str] = os.environ) -> list[AcceleratorKind] | None:
    """The first that CUDA may use, since a worker here is one process; empty where there is none.

    None where nobody can tell: without NVIDIA's binding, which comes with the extra `worker`, or when the
    library fails.
    """
    try:
        import pynvml  # noqa: PLC0415 - the trainer need not have it
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        try:
            device = _first(pynvml, environment.get("CUDA_VISIBLE_DEVICES"))
            return [] if device is None else [_kind_of(pynvml, device)]
        finally:
            pynvml.nvmlShutdown()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
        return []
    except pynvml.NVMLError as error:
        log.warning("accelerators_not_read", error=str(error))
        return None


def _first(nvml: Any, visible: str | None) -> Any | None:
    """Handle of the first device that programs here may use. visible: numbers or ids by commas; None: all."""
    first = "0" if visible is None else visible.split(",")[0].strip()
    if not first.isdecimal():  # An id; -1 and nothing hide all.
        return nvml.nvmlDeviceGetHandleByUUID(first) if first not in {"", "-1"} else None
    return nvml.nvmlDeviceGetHandleByIndex(int(first)) if int(first) < nvml.nvmlDeviceGetCount() else None


def _kind_of(nvml: Any, device: Any) -> AcceleratorKind:
    """`nvidia-l4` of NVIDIA L4."""
    name = re.sub(r"[^a-z0-9]+", "-", nvml.nvmlDeviceGetName(device).lower()).strip("-")
    has_bf16 = tuple(nvml.nvmlDeviceGetCudaComputeCapability(device)) >= _BF16_SINCE
    return _kind(name[:_LONGEST_NAME], nvml.nvmlDeviceGetMemoryInfo(device).total, has_bf16=has_bf16)


def _kind(name: str, memory_bytes: int | None, *, has_bf16: bool = True) -> AcceleratorKind:
    return AcceleratorKind(
        name,
        memory_bytes,
        max_count=1,
        has_spot=False,
        price_per_hour=None,
        spot_price_per_hour=None,
        has_bf16=has_bf16,
    )
