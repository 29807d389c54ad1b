"""What a job cannot be measured by. Pure; nothing raised."""

import math
from collections.abc import Iterator

from visiontune_recipes.facts import DatasetFacts
from visiontune_recipes.families import Family
from visiontune_recipes.metrics import offered
from visiontune_recipes.objectives import objective_of
from visiontune_recipes.problem import Problem
from visiontune_recipes.resolve import total_steps
from visiontune_recipes.spec import Spec


def problems(spec: Spec, family: Family | None) -> Iterator[Problem]:
    """All problems of a resolved spec's evaluation. family: None while only the worker can tell."""
    known = offered(objective_of(spec, family) if family else None)
    evaluation = spec.evaluation
    asked = {"metrics": evaluation.metrics or (), "best_metric": (evaluation.judged_by,)}
    for field, names in asked.items():
        if unknown := sorted(set(names).difference(known)):
            yield Problem(
                f"evaluation.{field}",
                f"{field}_not_offered",
                f"This training is not measured by {', '.join(unknown)}.",
                f"Choose from: {', '.join(known)}.",
            )


def warnings(spec: Spec, facts: DatasetFacts) -> Iterator[Problem]:
    """What a resolved spec allows, and is hardly meant: patience that the training does not outlast."""
    stopping, every = spec.evaluation.early_stopping, spec.evaluation.every_steps
    if stopping is None or not every or not stopping.patience:
        return
    evaluations = math.ceil((total_steps(spec, facts) - spec.first_step) / every)
    # The first is progress, and nothing is left to end after the last.
    if stopping.patience + 1 >= evaluations:
        yield Problem(
            "evaluation.early_stopping.patience",
            "patience_too_long",
            f"The training is evaluated {evaluations} time(s), so that {stopping.patience} in a row without "
            "progress cannot end it early.",
            "Lower evaluation.every_steps or patience, or train for more epochs.",
        )
