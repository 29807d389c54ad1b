"""What a model is measured by on held-out examples, and which way is better. Pure."""

import math
from collections.abc import Mapping

from visiontune_recipes.objectives import OBJECTIVES, Objective
from visiontune_recipes.spec import Evaluation

# Of all other measures more is better.
LOWER_IS_BETTER = frozenset({"loss"})
# They cost nothing beside what is computed anyway.
ALWAYS = ("loss", "token_accuracy")


def offered(objective: Objective | None) -> tuple[str, ...]:
    """What can be asked for; None: while the objective is unknown."""
    objectives = OBJECTIVES.values() if objective is None else (objective,)
    return tuple(dict.fromkeys(name for each in objectives for name in each.metrics))


def is_better(metric: str, value: float, than: float | None, by: float = 0.0) -> bool:
    """True when a value is better by more than `by` than another one, or is the first; never for NaN."""
    if math.isnan(value):
        return False
    if than is None:
        return True
    return than - value > by if metric in LOWER_IS_BETTER else value - than > by


def reported(found: Mapping[str, float], evaluation: Evaluation) -> dict[str, float]:
    """Of what was measured what a job reports: all of it where it does not choose."""
    if evaluation.metrics is None:
        return dict(found)
    wanted = {*ALWAYS, *evaluation.metrics, evaluation.judged_by}
    return {name: value for name, value in found.items() if name in wanted}
