"""What a training minimises. The worker has one module of the same name for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Objective:
    """An objective, with the metrics that its evaluation yields."""

    name: str
    description: str
    metrics: tuple[str, ...]


CAUSAL_LM = Objective(
    name="causal_lm",
    description="Cross-entropy of the next token, only on the assistant's answers and their stop tokens.",
    metrics=("loss", "exact_match", "token_accuracy"),
)

OBJECTIVES: Mapping[str, Objective] = MappingProxyType({CAUSAL_LM.name: CAUSAL_LM})
