"""The learning rate of each step, as a pure function, and the groups of parameters that decay."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from visiontune_recipes.spec import Hyperparameters, Schedule

SHAPES: Mapping[Schedule, Callable[[float], float]] = {
    Schedule.LINEAR: lambda done: 1.0 - done,
    Schedule.COSINE: lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),
    Schedule.CONSTANT: lambda _: 1.0,
}


def factor(step: int, *, total_steps: int, warmup_ratio: float, schedule: Schedule) -> float:
    """What the highest learning rate is multiplied by at a step, from 0: a line up, then the shape."""
    warmup_steps = math.ceil(warmup_ratio * total_steps)
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    return SHAPES[schedule]((step - warmup_steps) / max(1, total_steps - warmup_steps))


def optimiser(parameters: Mapping[str, torch.nn.Parameter], numbers: Hyperparameters) -> torch.optim.AdamW:
    """AdamW. Biases and norms, which have one axis, do not decay."""
    decays = [each for each in parameters.values() if each.ndim >= 2]
    stays = [each for each in parameters.values() if each.ndim < 2]
    groups: list[dict[str, Any]] = [
        {"params": decays, "weight_decay": numbers.weight_decay or 0.0},
        {"params": stays, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [each for each in groups if each["params"]], lr=numbers.learning_rate or 0.0, fused=True
    )
