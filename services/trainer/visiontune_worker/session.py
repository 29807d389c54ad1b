"""A prepared attempt at work: training, with what is saved, measured and told on the way, and its result."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from visiontune_worker import artifacts, checkpoints, loop
from visiontune_worker.attempt import Attempt
from visiontune_worker.claim import Claim
from visiontune_worker.eta import Eta
from visiontune_worker.faults import Cancelled, Fault, Paused, Preempted
from visiontune_worker.feed import Feed
from visiontune_worker.interrupts import Interrupts
from visiontune_worker.measuring import Measuring
from visiontune_worker.reports import Outbox
from visiontune_worker.transfer import Transfer
from visiontune_worker.uploads import upload_folder


@dataclass(slots=True)
class Session:
    """A prepared attempt: what is trained, on what, and whom to tell."""

    outbox: Outbox
    claim: Claim
    interrupts: Interrupts
    training: loop.Training
    feed: Feed
    saver: checkpoints.Saver
    measuring: Measuring
    eta: Eta
    scratch: Path

    @property
    def best_folder(self) -> Path:
        """Where the weights of the best evaluation are, when they are to be published."""
        return self.scratch / "best"

    @property
    def on_accelerator(self) -> bool:
        """True where the model is not on the processor."""
        return self.training.built.device.type != "cpu"

    def tell_system(self, values: Mapping[str, float]) -> None:
        """Tells what the attempt takes of its machine, from any thread."""
        self.outbox.metrics(step=self.training.step, epoch=self.training.epoch, values=values)

    def measure_before(self) -> None:
        """Measures the untrained model, unless an earlier attempt did."""
        self._tell_phase("evaluating")
        self.measuring.before()

    def train(self) -> None:
        """Trains from the present step to the last, with evaluations and checkpoints on the way.

        An evaluation that was due at the step of the checkpoint comes first when the checkpoint does not know
        it: it was saved before.
        """
        training = self.training
        # Passes over the data are counted from where they began, steps from the first job's beginning.
        begun = training.data_start_step
        meter = loop.Meter(
            training, tell=self._tell_points, ids_at=lambda step: self.feed.ids_at(step - begun)
        )
        if self.measuring.is_missing:
            self._measure(meter)
        if not self.measuring.is_over:
            self._tell_phase("training")
            self.eta.begin(training.step)
            with closing(self.feed.batches(training.step - begun, training.total_steps - begun)) as source:
                loop.run(training, source, meter=meter, after_step=lambda: self._after_step(meter))
        if self.saver.saved_step != training.step:
            self._save(meter)
        self.saver.wait()

    def measure_after(self) -> None:
        """Measures the trained model, unless that was the last thing that training did."""
        if self.measuring.newest_step != self.training.step:
            self._tell_phase("evaluating")
            self.measuring.now()

    def publish(self, attempt: Attempt, transfer: Transfer) -> None:
        """Uploads the trained model, as it is or as it was at its best, and ends the attempt well."""
        self._tell_phase("publishing")
        claim, training = self.claim, self.training
        metrics, step = self.measuring.newest or {}, training.step
        if best := self.measuring.published():
            checkpoints.read_weights(training.built, self.best_folder)
            self.measuring.tell_samples(best.step, best.answers)
            metrics, step = best.metrics, best.step
        story = artifacts.Story(
            training_job=claim.training_job,
            spec=claim.spec.at(training.built.base_revision),
            spec_digest=claim.spec_digest,
            dataset_digest=claim.manifest.digest,
            metrics_before=self.measuring.metrics_before,
            metrics_after=metrics,
            steps=step,
            samples=self.measuring.samples,
        )
        uploaded = {}
        for artifact in artifacts.names(claim.spec):
            folder = self.scratch / artifact
            shutil.rmtree(folder, ignore_errors=True)
            artifacts.write(training.built, story, artifact, folder)
            self.interrupts.check(but=Paused)
            uploaded[artifact] = upload_folder(attempt, transfer, folder, f"artifacts/{artifact}")
            shutil.rmtree(folder, ignore_errors=True)
        attempt.succeed(
            artifacts=uploaded,
            metrics=metrics,
            parameter_count=training.built.parameter_count,
            best_step=training.standing.best.step if training.standing.best else None,
            message=self.measuring.ending(),
        )

    def _after_step(self, meter: loop.Meter) -> bool:
        """What follows a step; True when it was the last one."""
        training, spec = self.training, self.claim.spec
        last = training.step == training.total_steps
        paused: Paused | None = None
        try:
            training.ranks.check(self.interrupts)
        except Paused as order:
            paused = order
        except Preempted:
            self._save(meter)
            self.saver.wait()
            raise
        except Cancelled:
            # What was measured belongs to the user; that it is no number any more matters to nobody now.
            with suppress(Fault):
                meter.flush()
            raise
        to_save = training.step % (spec.checkpointing.every_steps or training.total_steps) == 0
        if last or (to_save and paused is None):
            self._save(meter)
        if self.measuring.is_due:
            self._measure(meter)
        # After what was due at this step, since the next attempt begins behind it, and knows then how the
        # model did. At the end there is nothing left to pause.
        if paused is not None and not last and not self.measuring.is_over:
            self._save(meter)
            self.saver.wait()
            raise paused
        return self.measuring.is_over

    def _save(self, meter: loop.Meter) -> None:
        if self.saver.saved_step == self.training.step:
            return
        # Also refuses to save what is no longer a number.
        meter.flush()
        self.saver.save(self.training)

    def _measure(self, meter: loop.Meter) -> None:
        """Measures the model between two steps, and sees to it that the best state can be published."""
        meter.flush()
        self._tell_phase("evaluating")
        if self.measuring.now() and self.claim.spec.publishes_best:
            self._save(meter)
            checkpoints.write_weights(self.training, self.claim.spec, self.best_folder)
        self.training.built.train()
        self._tell_phase("training")
        meter.pause()
        self.eta.begin(self.training.step)

    def _tell_points(self, points: Sequence[loop.Point]) -> None:
        for point in points:
            self.outbox.metrics(step=point.step, epoch=point.epoch, values=point.values)
        self.eta.stepped(self.training.step)
        self._tell_phase("training")

    def _tell_phase(self, phase: str) -> None:
        training = self.training
        self.outbox.progress(
            step=training.step,
            total_steps=training.step if self.measuring.is_over else training.total_steps,
            epoch=training.epoch,
            phase=phase,
            remaining_s=self.eta.remaining_s(training.step, phase, self.measuring.took_s, self.saver.took_s),
            best=self.measuring.best(),
        )
