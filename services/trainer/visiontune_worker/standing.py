"""Which evaluation of a training is the best so far, and whether another one is worth waiting for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from visiontune_recipes.metrics import is_better
from visiontune_recipes.spec import Evaluation


@dataclass(frozen=True, slots=True)
class Best:
    """An evaluation that was better than all before. answers: of the sampled examples, by their names."""

    step: int
    metrics: Mapping[str, float]
    answers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is remembered of a training's evaluations; a checkpoint holds it.

    Each evaluation counts once, so that one that is made again after a resume changes nothing.
    """

    step: int = -1  # of the newest evaluation
    best: Best | None = None
    mark: float | None = None  # the value at the last progress
    waited: int = 0  # evaluations since the last progress

    def after(
        self, step: int, metrics: Mapping[str, float], answers: Mapping[str, str], evaluation: Evaluation
    ) -> "Standing":
        """The standing with one more evaluation."""
        if step <= self.step:
            return self
        name, value = evaluation.judged_by, metrics[evaluation.judged_by]
        known = self.best.metrics[name] if self.best else None
        best = Best(step, dict(metrics), dict(answers)) if is_better(name, value, known) else self.best
        stopping = evaluation.early_stopping
        by = stopping.min_delta or 0.0 if stopping else 0.0
        if is_better(name, value, self.mark, by):
            return Standing(step, best, mark=value)
        return replace(self, step=step, best=best, waited=self.waited + 1)

    def ends(self, evaluation: Evaluation) -> bool:
        """True when patience is at its end."""
        stopping = evaluation.early_stopping
        return stopping is not None and self.waited >= (stopping.patience or 1)


def standing_from(told: Mapping[str, object] | None) -> Standing:
    """A standing from the JSON of its fields; a new one when there is none."""
    if not told:
        return Standing()
    fields = dict(told)
    best = fields.pop("best")
    return Standing(best=Best(**best) if isinstance(best, dict) else None, **fields)  # type: ignore[arg-type]
