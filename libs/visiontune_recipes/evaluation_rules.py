"""What a job cannot be measured by. Pure; nothing raised."""

from collections.abc import Iterator

from visiontune_recipes.families import Family
from visiontune_recipes.metrics import offered
from visiontune_recipes.objectives import objective_of
from visiontune_recipes.problem import Problem
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
