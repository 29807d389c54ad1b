"""One attempt from its claim to its result. Imports torch: import it once the attempt is claimed."""

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from visiontune_recipes.facts import DatasetFacts
from visiontune_recipes.resolve import SMALL_MODEL_PARAMETERS, total_steps

from visiontune_worker import (
    artifacts,
    build,
    checkpoints,
    evaluate,
    feed,
    loop,
    objectives,
    sharding,
    system,
)
from visiontune_worker.attempt import Attempt
from visiontune_worker.claim import Claim, Manifest, Sample
from visiontune_worker.eta import Eta
from visiontune_worker.evaluate import HeldOut
from visiontune_worker.faults import (
    Cancelled,
    ConfigurationFault,
    DataFault,
    Fault,
    PassingFault,
    Paused,
    Preempted,
)
from visiontune_worker.feed import Feed
from visiontune_worker.interrupts import Interrupts
from visiontune_worker.mirrors import mirrors_of
from visiontune_worker.notices import Notices
from visiontune_worker.objectives.objective import Result
from visiontune_worker.order import Order
from visiontune_worker.ranks import Ranks
from visiontune_worker.reports import Outbox
from visiontune_worker.settings import Settings
from visiontune_worker.shards import Shards
from visiontune_worker.transfer import Transfer
from visiontune_worker.uploads import upload_folder


def run(
    attempt: Attempt | None,
    claim: Claim,
    settings: Settings,
    interrupts: Interrupts,
    *,
    renew: Callable[[], Manifest],
    ranks: Ranks | None = None,
) -> None:
    """Trains, measures and publishes; what was claimed is finished when rank 0 returns from this.

    attempt: rank 0 has it alone; the others only train and measure. renew: gives the manifest with fresh
    URLs. Raises a Fault when something is wrong and an Order when somebody said stop.
    """
    ranks = ranks or Ranks()
    scratch = settings.own_scratch_dir
    # What the other ranks have to tell is not told: the outbox is bounded, and nobody empties it.
    outbox = attempt.outbox if attempt else Outbox("")
    with ExitStack() as stack:
        if attempt:
            mirrors = mirrors_of(claim, settings)
            stack.callback(mirrors.close)
            outbox.mirror = mirrors.tell
        transfer = Transfer(patience_s=settings.patience_s, check=interrupts.check)
        stack.callback(transfer.close)
        shards = Shards(
            claim.manifest,
            scratch / "shards",
            transfer,
            limit_bytes=settings.shard_cache_bytes // settings.local_ranks,
            renew=renew,
        )
        stack.callback(shards.close)
        uploads = Transfer(patience_s=settings.patience_s, check=interrupts.check_final)
        stack.callback(uploads.close)
        saver = checkpoints.Saver(attempt, uploads, claim.spec, claim.spec_digest, scratch / "checkpoints")
        stack.callback(saver.close)
        session = _prepare(outbox, claim, settings, interrupts, shards, transfer, saver, ranks)
        if attempt and (revision := session.training.built.base_revision):
            # Stored before anything is trained on it: whoever resumes from a checkpoint has to load the same.
            attempt.outbox.base_revision(revision)
            attempt.flush()
        if attempt:
            sampler = system.Sampler(
                session.tell_system,
                system.accelerators(settings.local_ranks if session.on_accelerator else 0),
                ranks_here=settings.local_ranks,
            )
            stack.callback(sampler.close)
        session.measure_before()
        session.train()
        session.measure_after()
        if session.training.built.sharded:
            sharding.gather(session.training.built, keep=ranks.leads)
        # Before rank 0 publishes: the others need not wait for that.
        ranks.close()
        if attempt:
            session.publish(attempt, uploads, scratch)


def _prepare(
    outbox: Outbox,
    claim: Claim,
    settings: Settings,
    interrupts: Interrupts,
    shards: Shards,
    transfer: Transfer,
    saver: checkpoints.Saver,
    ranks: Ranks,
) -> "Session":
    outbox.progress(step=claim.resume_step, total_steps=0, epoch=0.0, phase="loading")
    counts = shards.counts("train")
    shards.prefetch(index for index, count in enumerate(counts) if count)
    resumed = _download_checkpoint(claim, settings.own_scratch_dir, transfer)
    sources = _sources(claim, settings, shards, transfer, resumed)
    on_cpu = settings.device == "cpu"
    built = build.build(claim.spec, sources, local_rank=settings.local_rank, on_cpu=on_cpu)
    _refuse_other_kinds(built, claim.manifest.facts)
    torch.set_num_threads(settings.threads or _threads(built.parameter_count, settings.local_ranks))
    # However long the others took to load; a branch of the Hub may have moved between their downloads.
    if len(set(ranks.exchange(built.base_revision, interrupts.check))) > 1:
        raise PassingFault(
            "BASE_MODEL_MOVED", "The base model changed while it was loaded. Name a commit as its revision."
        )
    ranks.start(built.device)
    if claim.spec.resources.is_sharded and ranks.count > 1:
        # Of weights that are equal: all ranks read the same files, or drew from the same seed.
        sharding.shard(built, ranks.count)
    else:
        if claim.spec.resources.is_sharded:
            built.model.to(built.device)
        ranks.share(built.trainable().values())
    training = _training(claim, built, counts, ranks)
    if resumed:
        checkpoints.read(training, resumed)
        saver.saved_step = training.step
    training.notices = Notices(outbox.notice, outbox.log)
    given = feed.feed(training, claim.spec, claim.manifest, shards, settings)
    training.spare = lambda: training.objective.collate(given.some(1))
    session = Session(
        outbox=outbox,
        claim=claim,
        interrupts=interrupts,
        training=training,
        feed=given,
        saver=saver,
        held_out=HeldOut(
            given.held_out,
            evaluate.held_out_places(shards.counts("validation"), claim.spec.evaluation.max_examples),
        ),
        eta=Eta(training.total_steps, claim.spec.evaluation.every_steps or training.total_steps),
        metrics_before=dict(claim.metrics_before),
        answers_before={each.example: each.before for each in claim.samples},
    )
    outbox.log("info", _what_trains(session))
    return session


@dataclass(slots=True)
class Session:
    """A prepared attempt: what is trained, on what, and whom to tell."""

    outbox: Outbox
    claim: Claim
    interrupts: Interrupts
    training: loop.Training
    feed: Feed
    saver: checkpoints.Saver
    held_out: HeldOut
    eta: Eta
    metrics_before: Mapping[str, float]
    answers_before: Mapping[str, str]
    metrics_after: Mapping[str, float] | None = None
    samples: Sequence[Sample] = ()
    measured_step: int = -1

    @property
    def on_accelerator(self) -> bool:
        """True where the model is not on the processor."""
        return self.training.built.device.type != "cpu"

    def tell_system(self, values: Mapping[str, float]) -> None:
        """Tells what the attempt takes of its machine, from any thread.

        Not before its first step where an earlier attempt made the last one: values of an older attempt go
        when a newer one tells any at the same step.
        """
        training = self.training
        if training.step > self.claim.resume_step or not training.step:
            self.outbox.metrics(step=training.step, epoch=training.epoch, values=values)

    def measure_before(self) -> None:
        """Measures the untrained model, unless an earlier attempt did."""
        if self.metrics_before:
            return
        if self.training.step > self.claim.spec.first_step:
            self.outbox.log("warning", "The metrics before training were lost with an earlier attempt.")
            return
        result = self._evaluate()
        self.metrics_before, self.answers_before = result.metrics, result.answers
        self.outbox.metrics_before(result.metrics)
        self._tell_evaluation(result)

    def train(self) -> None:
        """Trains from the present step to the last, with evaluations and checkpoints on the way."""
        training = self.training
        # Passes over the data are counted from where they began, steps from the first job's beginning.
        begun = training.data_start_step
        meter = loop.Meter(
            training, tell=self._tell_points, ids_at=lambda step: self.feed.ids_at(step - begun)
        )
        self._tell_phase("training")
        self.eta.begin(training.step)
        with closing(self.feed.batches(training.step - begun, training.total_steps - begun)) as source:
            loop.run(training, source, meter=meter, after_step=lambda: self._after_step(meter))
        if self.saver.saved_step != training.step:
            self._save(meter)
        self.saver.wait()

    def measure_after(self) -> None:
        """Measures the trained model, unless that was the last thing that training did."""
        if self.metrics_after is None or self.measured_step != self.training.step:
            self._measure()

    def publish(self, attempt: Attempt, transfer: Transfer, scratch: Path) -> None:
        """Uploads the trained model and ends the attempt well."""
        self._tell_phase("publishing")
        claim, training = self.claim, self.training
        story = artifacts.Story(
            training_job=claim.training_job,
            spec=claim.spec.at(training.built.base_revision),
            spec_digest=claim.spec_digest,
            dataset_digest=claim.manifest.digest,
            metrics_before=self.metrics_before,
            metrics_after=self.metrics_after or {},
            steps=training.step,
            samples=self.samples,
        )
        uploaded = {}
        for artifact in artifacts.names(claim.spec):
            folder = scratch / artifact
            shutil.rmtree(folder, ignore_errors=True)
            artifacts.write(training.built, story, artifact, folder)
            self.interrupts.check(but=Paused)
            uploaded[artifact] = upload_folder(attempt, transfer, folder, f"artifacts/{artifact}")
            shutil.rmtree(folder, ignore_errors=True)
        attempt.succeed(
            artifacts=uploaded,
            metrics=self.metrics_after or {},
            parameter_count=training.built.parameter_count,
        )

    def _after_step(self, meter: loop.Meter) -> None:
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
        if last or training.step % (spec.checkpointing.every_steps or training.total_steps) == 0:
            self._save(meter)
        if last or training.step % (spec.evaluation.every_steps or training.total_steps) == 0:
            meter.flush()
            self._measure()
            training.built.train()
            self._tell_phase("training")
            meter.pause()
            self.eta.begin(training.step)
        # After what was due at this step, since the next attempt begins behind it. At the end there is
        # nothing left to pause.
        if paused is not None and not last:
            self._save(meter)
            self.saver.wait()
            raise paused

    def _save(self, meter: loop.Meter) -> None:
        if self.saver.saved_step == self.training.step:
            return
        # Also refuses to save what is no longer a number.
        meter.flush()
        self.saver.save(self.training)

    def _measure(self) -> None:
        result = self._evaluate()
        self.metrics_after, self.measured_step = result.metrics, self.training.step
        self._tell_evaluation(result)

    def _evaluate(self) -> Result:
        self._tell_phase("evaluating")
        spec, began = self.claim.spec, time.monotonic()
        result = evaluate.evaluate(
            self.training.built,
            self.held_out,
            batch_size=spec.hyperparameters.batch_size or 1,
            ranks=self.training.ranks,
            check=partial(self.interrupts.check, but=Paused),
        )
        self.training.deliver_notices()
        self.eta.evaluation_s = time.monotonic() - began
        return result

    def _tell_evaluation(self, result: Result) -> None:
        training = self.training
        values = {f"eval_{name}": value for name, value in result.metrics.items()}
        self.outbox.metrics(step=training.step, epoch=training.epoch, values=values)
        count = self.claim.spec.evaluation.sample_count or 0
        untrained = training.step == self.claim.spec.first_step
        after = {} if untrained else result.answers
        self.samples = evaluate.samples(self.held_out, count, self.answers_before, after, training.step)
        self.outbox.samples(self.samples)
        told = ", ".join(f"{name} {value:.4f}" for name, value in sorted(result.metrics.items()))
        self.outbox.log("info", f"Evaluated at step {training.step}: {told}.")

    def _tell_points(self, points: Sequence[loop.Point]) -> None:
        for point in points:
            self.outbox.metrics(step=point.step, epoch=point.epoch, values=point.values)
        self.eta.stepped(self.training.step)
        self._tell_phase("training")

    def _tell_phase(self, phase: str) -> None:
        training = self.training
        self.outbox.progress(
            step=training.step,
            total_steps=training.total_steps,
            epoch=training.epoch,
            phase=phase,
            remaining_s=self.eta.remaining_s(training.step, phase, self.saver.took_s),
        )


def _threads(parameter_count: int, local_ranks: int) -> int:
    """Threads of torch. A small model's operations are too short to be shared out."""
    cores = max(1, len(os.sched_getaffinity(0)) // local_ranks)
    return 1 if parameter_count < SMALL_MODEL_PARAMETERS else cores


def _training(claim: Claim, built: build.Built, counts: tuple[int, ...], ranks: Ranks) -> loop.Training:
    numbers = claim.spec.hyperparameters
    order = Order(
        counts=counts,
        batch_size=numbers.batch_size or 1,
        accumulation=numbers.gradient_accumulation_steps or 1,
        seed=numbers.seed or 0,
        rank=ranks.rank,
        ranks=ranks.count,
    )
    if not order.examples:
        raise DataFault("NO_TRAINING_EXAMPLES", "The dataset version has no example in the split `train`.")
    steps = total_steps(claim.spec, claim.manifest.facts)
    return loop.Training(
        built,
        objectives.of(built, claim.spec, ranks),
        numbers,
        order,
        steps,
        ranks,
        data_start_step=claim.spec.data_start_step,
    )


def _refuse_other_kinds(built: build.Built, facts: DatasetFacts) -> None:
    """What a model of the Hub or a folder takes is known only once it is here."""
    family = built.family
    if refused := sorted(facts.kinds - set(family.takes)):
        raise ConfigurationFault(
            "KIND_NOT_TAKEN",
            f"The model is of the family {family.name}, which cannot train on examples of kind "
            f"{', '.join(refused)}. It takes {', '.join(family.takes)}.",
        )


def _download_checkpoint(claim: Claim, scratch: Path, transfer: Transfer) -> Path | None:
    if not claim.resume_files:
        return None
    return checkpoints.download(claim.resume_files, scratch / "resume", transfer)


def _sources(
    claim: Claim, settings: Settings, shards: Shards, transfer: Transfer, resumed: Path | None
) -> build.Sources:
    layers = tuple(
        build.Layer(
            layer.name,
            layer.is_adapter,
            checkpoints.download(layer.files, settings.own_scratch_dir / "base" / str(number), transfer),
        )
        for number, layer in enumerate(claim.layers)
    )
    return build.Sources(
        roots=settings.roots,
        trusted=settings.trusted,
        layers=layers,
        adapter_base=claim.adapter_base,
        processor=resumed / checkpoints.PROCESSOR if resumed else None,
        texts=shards.texts("train"),
    )


def _what_trains(session: Session) -> str:
    training = session.training
    trainable = sum(each.numel() for each in training.parameters)
    return (
        f"Training {trainable:,} of {training.built.parameter_count:,} parameters "
        f"on {training.order.examples:,} examples, steps {training.step} to {training.total_steps}, "
        f"on {_where(training)}; examples are {session.feed.how}."
    )


def _where(training: loop.Training) -> str:
    device, count = training.built.device, training.ranks.count
    return f"{count} processes, each on {device.type}" if count > 1 else str(device)
