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

    couples_examples: all examples of a step are compared with each other, over its passes and ranks.
    """

    name: str
    description: str
    metrics: tuple[str, ...]
    couples_examples: bool = False


CAUSAL_LM = Objective(
    name="causal_lm",
    description="Cross-entropy of the next token, only on the assistant's answers and their stop tokens.",
    metrics=("loss", "exact_match", "vqa_accuracy", "rouge_l", "token_accuracy"),
)

PREFERENCE = Objective(
    name="preference",
    description="Of two answers the chosen one becomes likelier than the other, by the model at the start.",
    metrics=("loss", "preference_accuracy", "reward_margin"),
)

_PLACES = (1, 5, 10)
CONTRASTIVE = Objective(
    name="contrastive",
    description="Texts and images as one vector each: those of a pair are to be more alike than all others.",
    metrics=(
        "loss",
        *(f"image_to_text_recall_at_{k}" for k in _PLACES),
        *(f"text_to_image_recall_at_{k}" for k in _PLACES),
    ),
    couples_examples=True,
)

FLAVA = Objective(
    name="flava",
    description="As contrastive; where a job asks for them, with the losses of FLAVA's pre-training.",
    metrics=CONTRASTIVE.metrics,
    couples_examples=True,
)

LATE_INTERACTION = Objective(
    name="late_interaction",
    description="Queries and images as a vector for each token, compared by the best match of each token.",
    metrics=("loss", "ndcg_at_5", "ndcg_at_10", *(f"recall_at_{k}" for k in _PLACES)),
    couples_examples=True,
)

OBJECTIVES: Mapping[str, Objective] = MappingProxyType(
    {each.name: each for each in (CAUSAL_LM, PREFERENCE, CONTRASTIVE, FLAVA, LATE_INTERACTION)}
)


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
