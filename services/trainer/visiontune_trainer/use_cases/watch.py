"""What happened to a job since a cursor, and then what happens."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta

from visiontune_trainer.domain.job import Event, Job
from visiontune_trainer.domain.problems import CursorGone
from visiontune_trainer.domain.reports import LogLine, MetricPoint
from visiontune_trainer.ports import UnitOfWork
from visiontune_trainer.use_cases.deps import Deps
from visiontune_trainer.use_cases.lookups import existing_job

HEARTBEAT = timedelta(seconds=15)
_POLL_S = 0.5
_PAGE = 500


class Present:
    """All that had happened when the watch began has been told."""


class Heartbeat:
    """Nothing happened for a while."""


Update = Event | MetricPoint | LogLine | Job | Present | Heartbeat


@dataclass(frozen=True, slots=True)
class Told:
    """One message of a watch."""

    cursor: str  # where to resume after it
    update: Update


async def watch(name: str, cursor: str, deps: Deps, stopping: Callable[[], bool]) -> AsyncIterator[Told]:
    """Tells everything since `cursor`, then Present, then what happens, until the job ends or `stopping`.

    A cursor is the `change` up to which all was told. Raises JobNotFound, CursorGone.
    """
    async with deps.unit_of_work() as uow:
        job = await existing_job(uow, name)
    at = _position(job, cursor)
    present = False
    told_at = deps.clock.now()
    while not stopping():
        job, updates, complete = await _after(name, at, deps)
        for change, update in updates:
            at = change
            yield Told(str(at), update)
            told_at = deps.clock.now()
        if not complete:
            continue
        at = job.change
        if not present:
            present = True
            yield Told(str(at), Present())
        if job.ended:
            return
        if deps.clock.now() - told_at >= HEARTBEAT:
            yield Told(str(at), Heartbeat())
            told_at = deps.clock.now()
        await _change(name, at, deps, stopping)


async def _after(name: str, at: int, deps: Deps) -> tuple[Job, list[tuple[int, Update]], bool]:
    """Returns the job, what was recorded after `at` in order, and whether that was all.

    Every change up to the job's own `change` is visible, since each was made under the job's lock.
    """
    async with deps.unit_of_work() as uow:
        job = await existing_job(uow, name)
        if job.change == at:
            return job, [], True
        found, horizon = await _changes(uow, job, at)
    updates: list[tuple[int, Update]] = [(update.change, update) for update in found]
    complete = horizon == job.change
    if complete and job.updated > at:
        updates.append((job.change, job))
    return job, sorted(updates, key=lambda pair: pair[0]), complete


async def _changes(uow: UnitOfWork, job: Job, at: int) -> tuple[list[Event | MetricPoint | LogLine], int]:
    """Returns the records after `at`, and up to which change they are complete."""
    records = uow.records
    kinds: tuple[list[Event] | list[MetricPoint] | list[LogLine], ...] = (
        await records.changed_events(job.name, at, job.change, _PAGE),
        await records.changed_metrics(job.name, at, job.change, _PAGE),
        await records.changed_log_lines(job.name, at, job.change, _PAGE),
    )
    full = [found[-1].change for found in kinds if len(found) == _PAGE]
    horizon = min(full, default=job.change)
    return [record for found in kinds for record in found if record.change <= horizon], horizon


async def _change(name: str, at: int, deps: Deps, stopping: Callable[[], bool]) -> None:
    """Returns when the job has changed, a heartbeat may be due, or the server stops."""
    until = deps.clock.now() + HEARTBEAT
    while deps.clock.now() < until and not stopping():
        await deps.wakeups.wait(name, _POLL_S)
        async with deps.unit_of_work() as uow:
            if await uow.jobs.change_of(name) != at:
                return


def _position(job: Job, cursor: str) -> int:
    if not cursor:
        return 0
    if not cursor.isascii() or not cursor.isdigit() or int(cursor) > job.change:
        raise CursorGone(job.name, cursor)
    return int(cursor)
