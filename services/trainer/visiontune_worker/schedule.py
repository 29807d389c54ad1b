"""The learning rate of each step, as a pure function."""

import math
from collections.abc import Callable, Mapping

from visiontune_recipes.spec import Schedule

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
