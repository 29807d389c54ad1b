"""One attempt from its claim to its result. Imports torch: import it once the attempt is claimed."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from visiontune_recipes.resolve import SMALL_MODEL_PARAMETERS, total_steps

from visiontune_worker import (
    artifacts,
    build,
    checkpoints,
    evaluate,
    feed,
    loop,
    measuring,
    objectives,
    sharding,
    system,
)
from visiontune_worker.attempt import Attempt
from visiontune_worker.claim import Claim, Manifest
from visiontune_worker.eta import Eta
from visiontune_worker.evaluate import HeldOut
from visiontune_worker.faults import (
    Cancelled,
    DataFault,
    Fault,
    PassingFault,
    Paused,
    Preempted,
)
from visiontune_worker.feed import Feed
from visiontune_worker.interrupts import Interrupts
from visiontune_worker.measuring import Measuring
from visiontune_worker.mirrors import mirrors_of
from visiontune_worker.notices import Notices
from visiontune_worker.order import Order
from visiontune_worker.ranks import Ranks
from visiontune_worker.reports import Outbox
from visiontune_worker.settings import Settings
from visiontune_worker.shards import Shards
from visiontune_worker.standing import Standing
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
            session.publish(attempt, uploads)


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
    build.refuse_other_kinds(built, claim.manifest.facts)
    measuring.refuse_other_metrics(built, claim.spec)
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
        if training.step == claim.spec.first_step:
            # Of the job before, whose evaluations are not this one's.
            training.standing = Standing()
    training.notices = Notices(outbox.notice, outbox.log)
    given = feed.feed(training, claim.spec, claim.manifest, shards, settings)
    training.spare = lambda: training.objective.collate(given.some(1))
    held_out = HeldOut(
        given.held_out,
        evaluate.held_out_places(shards.counts("validation"), claim.spec.evaluation.max_examples),
    )
    session = Session(
        outbox=outbox,
        claim=claim,
        interrupts=interrupts,
        training=training,
        feed=given,
        saver=saver,
        measuring=Measuring(
            outbox,
            claim,
            interrupts,
            training,
            held_out,
            metrics_before=dict(claim.metrics_before),
            answers_before={each.example: each.before for each in claim.samples},
        ),
        eta=Eta(training.total_steps, claim.spec.evaluation.every_steps or training.total_steps),
        scratch=settings.own_scratch_dir,
    )
    if ranks.leads and claim.spec.publishes_best and (best := training.standing.best):
        checkpoints.download_best(claim, best.step, session.best_folder, transfer)
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
