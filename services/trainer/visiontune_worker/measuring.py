"""Evaluations of a training: made, told, and remembered, so that the best one is known and patience ends."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from visiontune.trainer.v1 import trainer_pb2
from visiontune_recipes import metrics
from visiontune_recipes.metrics import offered
from visiontune_recipes.objectives import objective_of
from visiontune_recipes.spec import Evaluation, Spec

from visiontune_worker import evaluate
from visiontune_worker.build import Built
from visiontune_worker.claim import Claim, Sample
from visiontune_worker.evaluate import HeldOut
from visiontune_worker.faults import ConfigurationFault, Paused
from visiontune_worker.interrupts import Interrupts
from visiontune_worker.loop import Training
from visiontune_worker.objectives.objective import Result
from visiontune_worker.reports import Outbox
from visiontune_worker.standing import Best

STOPPED_EARLY = "STOPPED_EARLY"


@dataclass(slots=True)
class Measuring:
    """What held-out examples say of the model in training, the same ones each time."""

    outbox: Outbox
    claim: Claim
    interrupts: Interrupts
    training: Training
    held_out: HeldOut
    metrics_before: Mapping[str, float]
    answers_before: Mapping[str, str]
    newest: Mapping[str, float] | None = None
    newest_step: int = -1
    samples: Sequence[Sample] = ()  # as last told
    took_s: float = 0.0  # the newest evaluation

    @property
    def asked(self) -> Evaluation:
        """What the job says about it."""
        return self.claim.spec.evaluation

    @property
    def is_due(self) -> bool:
        """True at a step after which the model is measured."""
        step, last = self.training.step, self.training.total_steps
        return step == last or step % (self.asked.every_steps or last) == 0

    @property
    def is_missing(self) -> bool:
        """True when the model is to be measured at the present step, and the checkpoint does not know how."""
        known = max(self.training.standing.step, self.claim.spec.first_step)
        return self.is_due and self.training.step > known

    @property
    def is_over(self) -> bool:
        """True when there is nothing left to hope for: the training ends here."""
        return self.training.standing.ends(self.asked)

    def before(self) -> None:
        """Measures the untrained model, unless an earlier attempt did."""
        if self.metrics_before:
            return
        if self.training.step > self.claim.spec.first_step:
            self.outbox.log("warning", "The metrics before training were lost with an earlier attempt.")
            return
        result = self._evaluate()
        self.metrics_before, self.answers_before = result.metrics, result.answers
        self.outbox.metrics_before(result.metrics)
        self._tell(result, {})

    def now(self) -> bool:
        """Measures the model as it is; True when that is the best evaluation so far."""
        step, was_early = self.training.step, self._is_early
        result = self._evaluate()
        self.newest, self.newest_step = result.metrics, step
        answers = self._tell(result, result.answers)
        self.training.standing = self.training.standing.after(step, result.metrics, answers, self.asked)
        if self._is_early and not was_early:
            self.outbox.notice(STOPPED_EARLY, self.ending())
        best = self.training.standing.best
        return best is not None and best.step == step

    def tell_samples(self, step: int, answers: Mapping[str, str]) -> dict[str, str]:
        """Tells what the model answered at a step to the examples that are kept; returns these answers."""
        count = self.asked.sample_count or 0
        self.samples = evaluate.samples(self.held_out, count, self.answers_before, answers, step)
        self.outbox.samples(self.samples)
        return {each.example: each.after for each in self.samples}

    def best(self) -> trainer_pb2.BestEvaluation | None:
        """The best evaluation so far, to be told."""
        standing = self.training.standing
        if standing.best is None:
            return None
        return trainer_pb2.BestEvaluation(
            step=standing.best.step,
            metric=self.asked.judged_by,
            value=standing.best.metrics[self.asked.judged_by],
            evaluations_without_progress=standing.waited,
        )

    def published(self) -> Best | None:
        """The evaluation whose state becomes the result, when that is not the present one."""
        best = self.training.standing.best
        other = best is not None and best.step != self.training.step
        return best if other and self.claim.spec.publishes_best else None

    def ending(self) -> str:
        """Why the training ends at another step, or with another state, than the last; empty otherwise."""
        training, chosen, said = self.training, self.published(), ""
        if self._is_early:
            waited = training.standing.waited
            said = (
                f"Stopped early at step {training.step:,} of {training.total_steps:,}: "
                f"{self.asked.judged_by} made no progress in {waited} evaluation(s). "
            )
        if chosen is not None:
            value = chosen.metrics[self.asked.judged_by]
            said += f"The result is the state of step {chosen.step:,}, {self.asked.judged_by} {value:.4f}."
        return said.strip()

    @property
    def _is_early(self) -> bool:
        """True when it is over before the last step."""
        return self.is_over and self.training.step < self.training.total_steps

    def _evaluate(self) -> Result:
        began = time.monotonic()
        result = evaluate.evaluate(
            self.training.built,
            self.held_out,
            batch_size=self.claim.spec.hyperparameters.batch_size or 1,
            ranks=self.training.ranks,
            check=partial(self.interrupts.check, but=Paused),
        )
        self.training.deliver_notices()
        self.took_s = time.monotonic() - began
        return Result(metrics.reported(result.metrics, self.asked), result.answers)

    def _tell(self, result: Result, answers: Mapping[str, str]) -> dict[str, str]:
        training = self.training
        if count := len(self.held_out.places):
            # By itself, as what the machine does is: it says nothing of the model.
            speed = {"evaluation_samples_per_second": count / self.took_s}
            self.outbox.metrics(step=training.step, epoch=training.epoch, values=speed)
        values = {f"eval_{name}": value for name, value in result.metrics.items()}
        self.outbox.metrics(step=training.step, epoch=training.epoch, values=values)
        told = ", ".join(f"{name} {value:.4f}" for name, value in sorted(result.metrics.items()))
        self.outbox.log("info", f"Evaluated at step {training.step}: {told}.")
        return self.tell_samples(training.step, answers)


def refuse_other_metrics(built: Built, spec: Spec) -> None:
    """What a model of the Hub or a folder is measured by is known only once it is here."""
    known = offered(objective_of(spec, built.family))
    asked = {*(spec.evaluation.metrics or ()), spec.evaluation.judged_by}
    if unknown := sorted(asked.difference(known)):
        raise ConfigurationFault(
            "METRIC_NOT_OFFERED",
            f"The model is of the family {built.family.name}, which is not measured by {', '.join(unknown)}. "
            f"Choose from: {', '.join(known)}.",
        )
