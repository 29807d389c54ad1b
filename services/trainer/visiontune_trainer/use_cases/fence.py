"""Keeps stale workers out: every call of a worker passes one of these, in the transaction that it is for."""

from visiontune_trainer.domain.job import Attempt, Job, job_of_attempt
from visiontune_trainer.domain.problems import AttemptNotClaimed, StaleAttempt
from visiontune_trainer.ports import UnitOfWork


async def current(uow: UnitOfWork, attempt_name: str) -> tuple[Job, Attempt]:
    """Returns job and attempt, the job locked. Raises StaleAttempt unless it is the current attempt."""
    job_name, number = job_of_attempt(attempt_name)
    job = await uow.jobs.lock(job_name)
    attempt = await uow.jobs.get_attempt(job_name, number)
    if job is None or attempt is None or job.attempt != number or not job.has_worker:
        raise StaleAttempt(attempt_name)
    return job, attempt


async def claimed(uow: UnitOfWork, attempt_name: str) -> tuple[Job, Attempt]:
    """The same. Raises AttemptNotClaimed also."""
    job, attempt = await current(uow, attempt_name)
    if attempt.claimed_at is None:
        raise AttemptNotClaimed(attempt_name)
    return job, attempt
