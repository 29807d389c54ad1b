"""What a training minimises. The worker has one module of the same name for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from visiontune_recipes.families.family import Family
from visiontune_recipes.spec import Batching, Spec
from visiontune_recipes.spec import Objective as Choice


@dataclass(frozen=True, slots=True)
class Objective:
    """An objective, with the metrics that its evaluation yields.

    couples_examples: the examples of a step are compared with each other: its passes cannot be added up.
    """

    name: str
    description: str
    metrics: tuple[str, ...]
    couples_examples: bool = False


CAUSAL_LM = Objective(
    name="causal_lm",
    description="Cross-entropy of the next token, only on the assistant's answers and their stop tokens.",
    metrics=("loss", "exact_match", "token_accuracy"),
)

PREFERENCE = Objective(
    name="preference",
    description="Of two answers the chosen one becomes likelier than the other, by the model at the start.",
    metrics=("loss", "preference_accuracy", "reward_margin"),
)

OBJECTIVES: Mapping[str, Objective] = MappingProxyType({each.name: each for each in (CAUSAL_LM, PREFERENCE)})


def objective_of(spec: Spec, family: Family) -> Objective:
    """What a training of a resolved spec minimises."""
    return PREFERENCE if spec.objective is Choice.PREFERENCE else OBJECTIVES[family.objective]


def batchings(spec: Spec, family: Family) -> tuple[Batching, ...]:
    """How the examples of a pass can be laid out; the last one wastes least."""
    objective = objective_of(spec, family)
    if objective.couples_examples:
        # Alike examples in a step would be other negatives than those of the data.
        return (Batching.PADDED,)
    packs = family.packs and objective is CAUSAL_LM
    return (Batching.PADDED, Batching.LENGTH_GROUPED, *((Batching.PACKED,) if packs else ()))
