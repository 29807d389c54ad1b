"""One attempt from its claim to its result. Imports torch: import it once the attempt is claimed."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch
from visiontune_recipes.resolve import SMALL_MODEL_PARAMETERS, total_steps

from visiontune_worker import (
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
    DataFault,
    PassingFault,
)
from visiontune_worker.interrupts import Interrupts
from visiontune_worker.measuring import Measuring
from visiontune_worker.mirrors import mirrors_of
from visiontune_worker.notices import Notices
from visiontune_worker.order import Order
from visiontune_worker.ranks import Ranks
from visiontune_worker.reports import Outbox
from visiontune_worker.session import Session
from visiontune_worker.settings import Settings
from visiontune_worker.shards import Shards
from visiontune_worker.standing import Standing
from visiontune_worker.transfer import Transfer


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
) -> Session:
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
