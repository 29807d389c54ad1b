"""What trainings minimise, by the name in recipes: one module each, plain lines here."""

from collections.abc import Callable, Mapping
from typing import Any

from visiontune_recipes.objectives import objective_of
from visiontune_recipes.spec import Spec

from visiontune_worker.build import Built
from visiontune_worker.faults import ConfigurationFault
from visiontune_worker.objectives import causal_lm, contrastive, flava, late_interaction, preference
from visiontune_worker.objectives.objective import Objective
from visiontune_worker.ranks import Ranks

OBJECTIVES: Mapping[str, Callable[[Built, Spec], Objective[Any, Any]]] = {
    "causal_lm": causal_lm.CausalLM,
    "preference": preference.Preference,
    "contrastive": contrastive.Contrastive,
    "flava": flava.Flava,
    "late_interaction": late_interaction.LateInteraction,
}


def of(built: Built, spec: Spec, ranks: Ranks | None = None) -> Objective[Any, Any]:
    """The objective of a resolved spec, for its built model, in one process or several."""
    family = built.family
    unknown = set(spec.hyperparameters.losses or ()).difference(family.losses)
    if unknown:
        # Of presets and registered models the trainer has said so before.
        raise ConfigurationFault(
            "LOSSES_NOT_OFFERED",
            f"{family.name} does not offer {', '.join(sorted(unknown))} in hyperparameters.losses. "
            f"It offers {', '.join(family.losses) or 'no choice: remove the field'}.",
        )
    found = OBJECTIVES[objective_of(spec, family).name](built, spec)
    found.ranks = ranks or Ranks()
    return found
