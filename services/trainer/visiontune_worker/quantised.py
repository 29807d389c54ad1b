"""Weights of few bits: how transformers is told to keep them, by bitsandbytes."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch
from transformers import BitsAndBytesConfig
from visiontune_recipes.spec import Method, Quantisation

from visiontune_worker.faults import EnvironmentFault
from visiontune_worker.optimisers import without_bitsandbytes


def loading(
    kind: Quantisation, keep: Sequence[str], dtype: torch.dtype, device: torch.device
) -> dict[str, Any]:
    """Keywords of `from_pretrained`.

    keep: names of modules whose weights stay as they are. dtype: of the passes. EnvironmentFault where
    nothing can compute with weights of few bits.
    """
    if device.type != "cuda":
        raise EnvironmentFault(
            "NO_ACCELERATOR",
            f"{Method.QLORA} needs an accelerator, and this worker computes on {device}. Use {Method.LORA}.",
        )
    if find_spec("bitsandbytes") is None:
        raise without_bitsandbytes(Method.QLORA, Method.LORA)
    return {"quantization_config": config(kind, keep, dtype), "device_map": {"": device}}


def config(kind: Quantisation, keep: Sequence[str], dtype: torch.dtype) -> BitsAndBytesConfig:
    """What bitsandbytes does: NF4 with scales that are quantised again, or 8-bit integers."""
    if kind is Quantisation.INT8:
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=list(keep))  # type: ignore[no-untyped-call]  # transformers
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]  # transformers
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=list(keep),
    )
