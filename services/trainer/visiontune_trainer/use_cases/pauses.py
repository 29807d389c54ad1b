"""Jobs that make room for others, and go on later."""

from visiontune_trainer.domain.job import Job
from visiontune_trainer.domain.next_step import paused
from visiontune_trainer.domain.problems import JobBeingCancelled, JobEnded
from visiontune_trainer.domain.reasons import Reason
from visiontune_trainer.domain.states import State
from visiontune_trainer.ports import UnitOfWork
from visiontune_trainer.use_cases.deps import RECONCILER, Deps
from visiontune_trainer.use_cases.lifecycle import end_attempt
from visiontune_trainer.use_cases.lookups import locked_job


async def pause_job(name: str, deps: Deps) -> Job:
    """Asks a job to save and leave; one without a worker is paused at once. Repeating it changes nothing.

    Raises JobNotFound, JobEnded, JobBeingCancelled.
    """
    now = deps.clock.now()
    async with deps.unit_of_work() as uow:
        job = await _going_on(uow, name, "pause")
        if job.state is State.PAUSED or job.pause_requested_at is not None:
            return job
        job, event = job.updated_with(pause_requested_at=now).noted(
            Reason.PAUSE_REQUESTED, "A user asked to pause.", now
        )
        await uow.records.add_event(event)
        if job.has_worker:
            await uow.jobs.save(job)
        else:
            job = await end_attempt(uow, job, None, paused(), now)
        await uow.commit()
    deps.wakeups.notify(name, RECONCILER)
    return job


async def resume_job(name: str, deps: Deps) -> Job:
    """Lets a paused job go on, or one that was only asked to pause. Repeating it changes nothing.

    Raises JobNotFound, JobEnded, JobBeingCancelled.
    """
    now = deps.clock.now()
    async with deps.unit_of_work() as uow:
        job = await _going_on(uow, name, "resume")
        if job.state is State.PAUSED:
            job, event = job.moved(State.QUEUED, Reason.RESUMED, "Resumed; waits for a place to run.", now)
        elif job.pause_requested_at is not None:
            message = "Resumed before it was paused."
            job, event = job.updated_with(pause_requested_at=None).noted(Reason.RESUMED, message, now)
        else:
            return job
        await uow.jobs.save(job)
        await uow.records.add_event(event)
        await uow.commit()
    deps.wakeups.notify(name, RECONCILER)
    return job


async def _going_on(uow: UnitOfWork, name: str, verb: str) -> Job:
    """The job, locked, unless its end is decided."""
    job = await locked_job(uow, name)
    if job.ended:
        raise JobEnded(name, job.state, verb)
    if job.cancel_requested_at is not None:
        raise JobBeingCancelled(name)
    return job
