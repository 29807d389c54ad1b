"""What trainings minimise, by the name in recipes: one module each, plain lines here."""

from collections.abc import Callable, Mapping
from typing import Any

from visiontune_recipes.objectives import objective_of
from visiontune_recipes.spec import Spec

from visiontune_worker.build import Built
from visiontune_worker.objectives import causal_lm, preference
from visiontune_worker.objectives.objective import Objective

OBJECTIVES: Mapping[str, Callable[[Built, Spec], Objective[Any, Any]]] = {
    "causal_lm": causal_lm.CausalLM,
    "preference": preference.Preference,
}


def of(built: Built, spec: Spec) -> Objective[Any, Any]:
    """The objective of a resolved spec, for its built model."""
    return OBJECTIVES[objective_of(spec, built.family).name](built, spec)
