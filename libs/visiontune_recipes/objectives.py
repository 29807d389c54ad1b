"""What a training minimises. The worker has one module of the same name for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


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

OBJECTIVES: Mapping[str, Objective] = MappingProxyType({CAUSAL_LM.name: CAUSAL_LM})
