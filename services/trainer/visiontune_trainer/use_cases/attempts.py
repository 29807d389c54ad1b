"""What workers say about their attempt. Every write first makes sure that the attempt is still current."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from visiontune_kit import faults
from visiontune_kit.errors import NotFound, Unauthenticated
from visiontune_recipes.spec import Base, Spec

from visiontune_trainer.domain.folders import CHECKPOINT_PREFIX, Folder, FolderState
from visiontune_trainer.domain.job import Attempt, Job, job_of_attempt
from visiontune_trainer.domain.next_step import End, Pause, Policy, Retry, after_retryable, paused
from visiontune_trainer.domain.problems import AttemptClaimed, CheckpointGone, DatasetGone, StaleAttempt
from visiontune_trainer.domain.reasons import Reason
from visiontune_trainer.domain.reports import (
    LONGEST_LOG_LINE,
    MOST_LOG_LINES,
    MOST_LOG_LINES_OF_JOB,
    LogLine,
    MetricPoint,
    Order,
    Report,
    Sample,
    to_thin,
)
from visiontune_trainer.domain.states import State
from visiontune_trainer.ports import Manifest, SignedFiles, UnitOfWork
from visiontune_trainer.use_cases import fence, files, models, origins, records
from visiontune_trainer.use_cases.deps import LOG_KEEPER, RECONCILER, SWEEPER, Deps
from visiontune_trainer.use_cases.lifecycle import end_attempt

_URL_TTL = timedelta(hours=6)
TOKEN_PREFIX = "vtw_"  # noqa: S105 - what tokens begin with


@dataclass(frozen=True, slots=True)
class Claim:
    """All that a worker needs to run its attempt."""

    job: str
    attempt: int
    spec: Spec
    spec_digest: str
    family: str
    manifest: Manifest
    resume_from: SignedFiles | None
    best: SignedFiles | None  # the checkpoint of the best evaluation, as that of resume_from knew it
    adapter_base: Base | None  # what the first of model_files sits on, when that is no registered model
    model_files: tuple[SignedFiles, ...]  # the base, then each adapter on top
    samples: tuple[Sample, ...]
    metrics_before: Mapping[str, float]
    base_revision: str
    heartbeat_interval_s: float


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The answer to a report."""

    sequence: int
    order: Order


@dataclass(frozen=True, slots=True)
class Finish:
    """How an attempt ended, as its worker says."""

    attempt: str
    outcome: str  # SUCCEEDED, FAILED, RETRY, CANCELLED or PAUSED
    reason: str = ""
    message: str = ""
    artifacts: Mapping[str, tuple[files.UploadedFile, ...]] = field(default_factory=dict)  # by artifact
    metrics: Mapping[str, float] = field(default_factory=dict)
    parameter_count: int = 0
    best_step: int | None = None


def hash_of(token: str) -> str:
    """Returns what is kept of a worker's token."""
    return hashlib.sha256(token.encode()).hexdigest()


async def authenticate(token: str, deps: Deps) -> Attempt:
    """Returns the attempt that the token belongs to, current or not.

    Raises Unauthenticated for what is no worker's token, StaleAttempt when the attempt is gone.
    """
    if not token.startswith(TOKEN_PREFIX):
        raise Unauthenticated("This is no token of a worker.", reason="InvalidToken")
    async with deps.unit_of_work() as uow:
        attempt = await uow.jobs.find_attempt(hash_of(token))
    if attempt is None:
        raise StaleAttempt("The attempt")
    return attempt


async def issue_token(attempt_name: str, deps: Deps) -> str:
    """Gives the attempt a new token, which replaces the one before. Raises StaleAttempt."""
    token = deps.new_token()
    async with deps.unit_of_work() as uow:
        _, attempt = await fence.current(uow, attempt_name)
        await uow.jobs.save_attempt(replace(attempt, token_hash=hash_of(token)))
        await uow.commit()
    return token


async def claim(attempt_name: str, worker_id: str, deps: Deps) -> Claim:
    """Takes the attempt for a worker. Raises StaleAttempt, AttemptClaimed, CheckpointGone."""
    now = deps.clock.now()
    async with deps.unit_of_work() as uow:
        job, attempt = await fence.current(uow, attempt_name)
        if attempt.worker_id not in {"", worker_id}:
            raise AttemptClaimed(attempt_name)
        if attempt.claimed_at is None:
            attempt = replace(attempt, worker_id=worker_id, claimed_at=now, heartbeat_at=now)
            job, event = job.moved(
                State.RUNNING,
                Reason.ATTEMPT_STARTED,
                f"A worker started attempt {attempt.number}.",
                now,
                started_at=job.started_at or now,
            )
            await uow.jobs.save_attempt(attempt)
            await uow.jobs.save(job)
            await uow.records.add_event(event)
        samples = await uow.records.samples(job.name)
        checkpoint = await _to_resume_from(uow, job)
        best = await _best(uow, job)
        chain = await models.chain_of(uow, job.resolved.base_model)
        await uow.commit()
    deps.wakeups.notify(job.name)
    return Claim(
        job=job.name,
        attempt=attempt.number,
        spec=job.resolved,
        spec_digest=job.spec_digest,
        family=job.family,
        manifest=await _manifest(job, deps),
        resume_from=await _signed_checkpoint(checkpoint, deps),
        best=await _signed_checkpoint(best, deps),
        adapter_base=models.below(chain),
        model_files=tuple([await models.signed(model, deps) for model in chain]),
        samples=tuple(sample for sample in samples if sample.before),
        metrics_before=job.metrics_before,
        base_revision=job.base_revision,
        heartbeat_interval_s=deps.heartbeat_interval_s,
    )


async def renew_manifest(attempt_name: str, deps: Deps) -> Manifest:
    """Returns the dataset with fresh signed URLs. Raises StaleAttempt."""
    async with deps.unit_of_work() as uow:
        job, _ = await fence.claimed(uow, attempt_name)
    return await _manifest(job, deps)


async def record_report(report: Report, deps: Deps) -> Acknowledgement:
    """Stores a report, once. Raises StaleAttempt, AttemptNotClaimed."""
    now = deps.clock.now()
    async with deps.unit_of_work() as uow:
        job, attempt = await fence.claimed(uow, report.attempt)
        attempt = replace(attempt, heartbeat_at=now)
        if report.sequence > attempt.acknowledged:
            changed = await _store(uow, job, attempt, report, now)
            attempt = replace(attempt, acknowledged=report.sequence)
            if changed != job:
                await uow.jobs.save(changed)
                job = changed
        await uow.jobs.save_attempt(attempt)
        await uow.commit()
    faults.point("report.after_commit")
    deps.wakeups.notify(job.name)
    return Acknowledgement(attempt.acknowledged, _order_for(job))


async def finish(command: Finish, deps: Deps) -> State:
    """Ends the attempt as its worker says; one transaction shows artifacts and state together.

    Repeating it returns the same. Raises StaleAttempt, AttemptNotClaimed, UploadNotOfFolder.
    """
    async with deps.unit_of_work() as uow:
        known = await _finished(uow, command.attempt)
        if known is not None:
            return known
        job, _ = await fence.claimed(uow, command.attempt)
        opened = {folder.path: folder for folder in await uow.folders.of(job.name, FolderState.OPEN)}
    succeeded = command.outcome == "SUCCEEDED"
    artifacts = await files.complete_artifacts(opened, command.artifacts, deps) if succeeded else []
    try:
        state = await _end(command, artifacts, deps)
    except StaleAttempt:
        await files.abandon(artifacts, deps)
        raise
    faults.point("finish.after_commit")
    deps.wakeups.notify(job.name, RECONCILER, SWEEPER, LOG_KEEPER)
    return state


async def _end(command: Finish, artifacts: list[Folder], deps: Deps) -> State:
    now = deps.clock.now()
    async with deps.unit_of_work() as uow:
        known = await _finished(uow, command.attempt)
        if known is not None:
            return known
        job, attempt = await fence.claimed(uow, command.attempt)
        for folder in artifacts:
            await uow.folders.save(replace(folder, state=FolderState.COMMITTED, committed_at=now))
        changes = _results(job, command) if command.outcome == "SUCCEEDED" else {}
        step = after_finish(job, command, now, deps.policy)
        job = await end_attempt(uow, job, attempt, step, now, finished_by_worker=True, **changes)
        await uow.commit()
    return job.state


def after_finish(job: Job, command: Finish, now: datetime, policy: Policy) -> Retry | Pause | End:
    """Decides what follows from a worker's own word."""
    message = command.message or "The worker gave no message."
    if command.outcome == "SUCCEEDED":
        trained = command.message or "Trained to the end; the artifacts are there."
        return End(State.SUCCEEDED, Reason.SUCCEEDED, trained)
    if job.cancel_requested_at is not None:
        return End(State.CANCELLED, Reason.CANCELLED, "Stopped as asked.")
    if command.outcome == "FAILED":
        return End(State.FAILED, command.reason or Reason.FAILED, message)
    if command.outcome == "PAUSED":
        if job.pause_requested_at is not None:
            return paused()
        return Retry(Reason.RESUMED, "A user resumed it while it was being paused.", now, charged=False)
    # Told to stop, but not by a user: by its backend.
    reason = command.reason or (Reason.PREEMPTED if command.outcome == "CANCELLED" else Reason.WORKER_EXITED)
    return after_retryable(job, reason, message, now, policy, charged=reason != Reason.PREEMPTED)


def _order_for(job: Job) -> Order:
    if job.cancel_requested_at is not None:
        return Order.CANCEL
    return Order.CONTINUE if job.pause_requested_at is None else Order.PAUSE


def _results(job: Job, command: Finish) -> dict[str, object]:
    step = max(job.progress.step, job.progress.total_steps)
    progress = replace(job.progress, step=step, phase="", remaining_s=None)
    metrics = dict(command.metrics) or dict(job.metrics_after)
    return {
        "progress": progress,
        "metrics_after": metrics,
        "parameter_count": command.parameter_count,
        "best_step": command.best_step,
    }


async def _store(uow: UnitOfWork, job: Job, attempt: Attempt, report: Report, now: datetime) -> Job:
    """Stores what a report carries; returns the job with its counters moved."""
    for point in report.metrics:
        job = await _store_metric(uow, job, attempt, point)
    job = await _store_log_lines(uow, job, attempt, report, now)
    for sample in report.samples:
        await _store_sample(uow, job, sample)
    if report.progress is not None and report.progress != job.progress:
        job = job.updated_with(progress=report.progress)
    if report.metrics_before and report.metrics_before != job.metrics_before:
        job = job.updated_with(metrics_before=dict(report.metrics_before))
    if report.base_revision and not job.base_revision:
        job = job.updated_with(base_revision=report.base_revision)
    for notice in report.notices:
        job, event = job.noted(notice.reason, notice.message, now)
        await uow.records.add_event(event)
    return job


async def _store_metric(uow: UnitOfWork, job: Job, attempt: Attempt, point: MetricPoint) -> Job:
    evaluation = point.evaluation()
    job = job.updated_with(metrics_after=evaluation) if evaluation else job
    job = replace(job, change=job.change + 1)
    point = replace(point, attempt=attempt.number, change=job.change)
    await uow.records.put_metric(point.after(await uow.records.metric_at(job.name, point.step)))
    return job


async def _store_sample(uow: UnitOfWork, job: Job, sample: Sample) -> None:
    """Stores what the model says now, and adds it to what it said before."""
    await uow.records.put_sample(sample)
    if not (sample.before or sample.after):
        return  # A model that does not answer in text.
    await uow.records.put_answer(sample.answer(job.resolved.first_step))
    answers = await uow.records.answers(job.name, sample.example)
    await uow.records.drop_answers(job.name, sample.example, to_thin([answer.step for answer in answers]))


async def _store_log_lines(uow: UnitOfWork, job: Job, attempt: Attempt, report: Report, now: datetime) -> Job:
    lines = list(report.log_lines)
    room = min(MOST_LOG_LINES - (job.log_lines - attempt.lines_before), MOST_LOG_LINES_OF_JOB - job.log_lines)
    if len(lines) > room > 0:
        last = f"More than {MOST_LOG_LINES:,} lines of an attempt, or more than {MOST_LOG_LINES_OF_JOB:,} "
        last += "of the job; the rest is dropped."
        lines = [*lines[: room - 1], LogLine(job.name, now, "warning", last, attempt.number)]
    stored = [
        replace(
            line,
            message=line.message[:LONGEST_LOG_LINE],
            attempt=attempt.number,
            sequence=job.log_lines + place,
            change=job.change + place,
        )
        for place, line in enumerate(lines[: max(room, 0)], start=1)
    ]
    await uow.records.add_log_lines(stored)
    return replace(job, change=job.change + len(stored), log_lines=job.log_lines + len(stored))


async def _finished(uow: UnitOfWork, attempt_name: str) -> State | None:
    """Returns what FinishAttempt answered before; None when it did not."""
    job_name, number = job_of_attempt(attempt_name)
    attempt = await uow.jobs.get_attempt(job_name, number)
    return None if attempt is None else attempt.finished_state


async def _manifest(job: Job, deps: Deps) -> Manifest:
    """Raises DatasetGone; NotFound would tell the worker that its job is gone."""
    try:
        return await deps.datasets.read_manifest(job.resolved.dataset_version, _URL_TTL)
    except NotFound as error:
        raise DatasetGone(job.resolved.dataset_version) from error


async def _to_resume_from(uow: UnitOfWork, job: Job) -> Folder | None:
    """Returns the job's newest checkpoint, or before it has one that of the job that it goes on from.

    Raises CheckpointGone.
    """
    own = await origins.checkpoint_of(uow, job.name)
    earlier = job.resolved.resume_from
    if own is not None or earlier is None:
        return own
    found = await origins.checkpoint_of(uow, earlier.checkpoint)
    if found is None:
        raise CheckpointGone(earlier.checkpoint)
    return found


async def _best(uow: UnitOfWork, job: Job) -> Folder | None:
    if job.best_step is None:
        return None
    return await origins.checkpoint_of(uow, f"{job.name}/{CHECKPOINT_PREFIX}{job.best_step}")


async def _signed_checkpoint(found: Folder | None, deps: Deps) -> SignedFiles | None:
    if found is None:
        return None
    return SignedFiles(found.name, found.files, await records.sign(found, deps), step=found.step)
