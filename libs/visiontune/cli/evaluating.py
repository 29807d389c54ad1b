"""Options of `visiontune train` that say how the model is measured, and what follows from it."""

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from visiontune.trainer.v1 import trainer_pb2


class State(StrEnum):
    """Which state of the training becomes the result."""

    LAST = "last"
    BEST = "best"


def evaluate(
    spec: "trainer_pb2.TrainingJobSpec",
    metrics: Sequence[str],
    best_metric: str,
    patience: int | None,
    publish: State | None,
) -> None:
    """Flags win over the file."""
    from visiontune.trainer.v1 import trainer_pb2

    if metrics:
        spec.evaluation.metrics[:] = metrics
    if best_metric:
        spec.evaluation.best_metric = best_metric
    if patience is not None:
        spec.evaluation.early_stopping.patience = patience
    if publish is not None:
        spec.publish.state = trainer_pb2.Publish.State.Value(f"STATE_{publish.name}")
