"""Ends attempts and jobs: the part that workers, users and the reconcile loop have in common."""

from dataclasses import replace
from datetime import datetime

from visiontune_trainer.domain.folders import LOG_PREFIX, Folder, FolderState, beyond
from visiontune_trainer.domain.job import Attempt, Job
from visiontune_trainer.domain.next_step import End, Pause, Retry
from visiontune_trainer.domain.states import State
from visiontune_trainer.ports import UnitOfWork

# Jobs that keep the newest checkpoint, and the best, when they have ended: a later one can go on from it. One
# that was cancelled leaves nothing.
KEEPS_CHECKPOINTS = frozenset({State.SUCCEEDED, State.FAILED})


async def end_attempt(
    uow: UnitOfWork,
    job: Job,
    attempt: Attempt | None,
    step: Retry | Pause | End,
    now: datetime,
    *,
    finished_by_worker: bool = False,
    **changes: object,
) -> Job:
    """Records that the attempt is over, with all that follows from it. The caller holds the job's lock.

    changes: further fields of the job. Returns the job as saved.
    """
    changes["pause_requested_at"] = None
    changes.setdefault("progress", replace(job.progress, phase="", remaining_s=None))
    if isinstance(step, End):
        state = step.state
    else:
        state = State.RETRYING if isinstance(step, Retry) else State.PAUSED
        changes["next_attempt_at"] = step.at if isinstance(step, Retry) else None
        changes["uncharged"] = job.uncharged + (attempt is not None and not step.charged)
    if attempt is not None and job.has_worker:
        changes["ran_s"] = job.ran_s + attempt.ran_s(now)
        finished = state if finished_by_worker else None
        await uow.jobs.save_attempt(replace(attempt, ended_at=now, finished_state=finished))
        opened = await uow.folders.of(job.name, FolderState.OPEN)
        await doom(uow, [folder for folder in opened if not folder.is_log])
        log = Folder(job.name, f"{LOG_PREFIX}{attempt.number}", attempt.number, created_at=now)
        if await uow.folders.get(log.job, log.path, log.attempt) is None:
            await uow.folders.add(log)
    job, event = job.moved(state, step.reason, step.message, now, **changes)
    if job.ended:
        checkpoints = [
            folder for folder in await uow.folders.of(job.name, FolderState.COMMITTED) if folder.is_checkpoint
        ]
        keeps = job.state in KEEPS_CHECKPOINTS
        await doom(uow, beyond(checkpoints, 1, job.best_step) if keeps else checkpoints)
    await uow.jobs.save(job)
    await uow.records.add_event(event)
    return job


async def doom(uow: UnitOfWork, folders: list[Folder]) -> None:
    """Leaves the folders' objects to the sweep."""
    for folder in folders:
        await uow.folders.save(replace(folder, state=FolderState.DOOMED))
