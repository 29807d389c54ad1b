"""What keeps a job from going on from the checkpoint of an earlier one. Pure; nothing raised."""

from collections.abc import Callable, Iterator

from visiontune_recipes.problem import Problem
from visiontune_recipes.spec import PARTS, Optimiser, Spec

FIELD = "resume_from"


def problems(spec: Spec, earlier: Spec, total_steps: int) -> Iterator[Problem]:
    """All problems of a resolved spec that goes on from a job of another. total_steps: what it would take."""
    for field, of in _MUST_BE_EQUAL:
        if of(spec) != of(earlier):
            yield Problem(
                field,
                "resumed_differently",
                f"The checkpoint holds what the earlier job trained, and {field} is not that job's.",
                f"Take {field} from the earlier job's resolved_spec, or leave resume_from out.",
            )
    if total_steps <= spec.first_step:
        yield Problem(
            FIELD,
            "nothing_left",
            f"The checkpoint is of step {spec.first_step}, and this job would end at step {total_steps}.",
            "Raise hyperparameters.epochs or max_steps, which count from the beginning of the earlier job.",
        )


def _parts_with_rates(spec: Spec) -> set[str]:
    rates = spec.hyperparameters.learning_rates
    return {part for part in PARTS if getattr(rates, part, None) is not None}


# Weights and optimiser state fit only a model and an optimiser that are built alike.
_MUST_BE_EQUAL: tuple[tuple[str, Callable[[Spec], object]], ...] = (
    ("base_model", lambda spec: spec.base_model),
    ("adaptation", lambda spec: spec.adaptation),
    ("hyperparameters.optimiser", lambda spec: spec.hyperparameters.optimiser or Optimiser.ADAMW),
    ("hyperparameters.learning_rates", _parts_with_rates),
)
