"""What turns gradients into changes of the weights: groups of parameters, and one function an optimiser."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers.optimization import Adafactor
from visiontune_recipes.spec import Hyperparameters, Optimiser

from visiontune_worker.faults import EnvironmentFault

Group = dict[str, Any]


def groups(
    parameters: Mapping[str, torch.nn.Parameter],
    numbers: Hyperparameters,
    part_of: Callable[[str], str | None],
) -> list[Group]:
    """Parameters that learn alike, the decaying ones first; `peak` is the highest learning rate of a group.

    Biases and norms, which have one axis, do not decay. A part with a rate of its own has groups of its own,
    whatever the rate, so that optimiser state fits a job with other rates.
    """
    found: dict[tuple[str, bool], Group] = {}
    for name, parameter in parameters.items():
        part = part_of(name) or ""
        own = part if getattr(numbers.learning_rates, part, None) is not None else ""
        decays = parameter.ndim >= 2
        decay = numbers.weight_decay or 0.0 if decays else 0.0
        empty: Group = {"params": [], "weight_decay": decay, "peak": numbers.rate_of(own)}
        found.setdefault((own, not decays), empty)["params"].append(parameter)
    return [found[key] for key in sorted(found)]


def optimiser(
    parameters: Mapping[str, torch.nn.Parameter],
    numbers: Hyperparameters,
    part_of: Callable[[str], str | None],
) -> torch.optim.Optimizer:
    """The optimiser that a resolved spec names, over its groups."""
    make = OPTIMISERS[numbers.optimiser or Optimiser.ADAMW]
    return make(groups(parameters, numbers, part_of), numbers.learning_rate or 0.0)


def restore(made: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Takes over what an earlier `state_dict` remembers of each parameter, and keeps its own numbers."""
    made.load_state_dict({"state": state["state"], "param_groups": made.state_dict()["param_groups"]})


def _adamw(found: Sequence[Group], rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(found, lr=rate, fused=True)


def _adamw_8bit(found: Sequence[Group], rate: float) -> torch.optim.Optimizer:
    try:
        # Made for accelerators and only installed for them.
        optimisers: Any = importlib.import_module("bitsandbytes.optim")
    except ImportError as error:
        raise without_bitsandbytes("OPTIMISER_ADAMW_8BIT", "OPTIMISER_ADAFACTOR") from error
    made: torch.optim.Optimizer = optimisers.AdamW8bit(found, lr=rate)
    return made


def _adafactor(found: Sequence[Group], rate: float) -> torch.optim.Optimizer:
    """With the job's learning rate, and without the relative steps that Adafactor takes when left alone."""
    return Adafactor(list(found), lr=rate, scale_parameter=False, relative_step=False, warmup_init=False)  # type: ignore[no-untyped-call]  # transformers


def without_bitsandbytes(asked: str, nearest: str) -> EnvironmentFault:
    """What is said where the library is lacking."""
    return EnvironmentFault(
        "BITSANDBYTES_MISSING",
        f"{asked} needs bitsandbytes, which this worker lacks. Ask the operator to install it with the extra "
        f"`worker-cuda`, or use {nearest}.",
    )


OPTIMISERS: Mapping[Optimiser, Callable[[Sequence[Group], float], torch.optim.Optimizer]] = {
    Optimiser.ADAMW: _adamw,
    Optimiser.ADAMW_8BIT: _adamw_8bit,
    Optimiser.ADAFACTOR: _adafactor,
}
