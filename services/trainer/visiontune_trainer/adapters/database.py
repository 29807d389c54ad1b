"""The repositories, on SQLAlchemy: rows and values of the domain have the same fields."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import (
    Table,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from visiontune_kit import database
from visiontune_recipes.spec import Base

from visiontune_trainer import ports
from visiontune_trainer.adapters import tables
from visiontune_trainer.adapters.models import Models
from visiontune_trainer.adapters.rows import (
    Rows,
    base_text,
    data_text,
    newest_first,
    newest_order,
    tells,
)
from visiontune_trainer.domain.folders import LOG_PREFIX, Folder, FolderState
from visiontune_trainer.domain.job import Attempt, Event, Job, project_of
from visiontune_trainer.domain.reports import LogLine, MetricPoint, Sample, SampleAnswer
from visiontune_trainer.domain.states import AT_REST, FINAL, WITH_WORKER
from visiontune_trainer.domain.usage import MachineTime

T = TypeVar("T")
_MOST_UNFINISHED = 500
_OF_A_JOB = (
    tables.ATTEMPTS,
    tables.EVENTS,
    tables.METRICS,
    tables.LOG_LINES,
    tables.SAMPLES,
    tables.SAMPLE_ANSWERS,
)


class _Jobs:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._jobs = Rows(session, tables.JOBS, Job)
        self._attempts = Rows(session, tables.ATTEMPTS, Attempt)
        self.add = self._jobs.add
        self.save = self._jobs.save
        self.add_attempt = self._attempts.add
        self.save_attempt = self._attempts.save

    async def get(self, name: str) -> Job | None:
        return await self._jobs.one(tables.JOBS.c.name == name)

    async def lock(self, name: str) -> Job | None:
        return await self._jobs.one(tables.JOBS.c.name == name, lock=True)

    async def delete(self, name: str) -> None:
        for table in _OF_A_JOB:
            await self._session.execute(delete(table).where(table.c.job == name))
        await self._jobs.remove(tables.JOBS.c.name == name)

    async def page(
        self, project: str, dataset: str, after: tuple[datetime, str] | None, limit: int
    ) -> list[Job]:
        conditions = newest_first(tables.JOBS, project, after)
        if dataset:
            conditions.append(tells(tables.JOBS.c.spec, data_text(dataset)))
        return await self._jobs.some(*conditions, order=newest_order(tables.JOBS), limit=limit)

    async def starting_from(self, model: str, limit: int) -> list[str]:
        columns = tables.JOBS.c
        found = await self._session.scalars(
            select(columns.name)
            .where(
                columns.project == project_of(model),
                columns.state.not_in(FINAL),
                tells(columns.spec, base_text("base_model", Base(model=model))),
            )
            .order_by(columns.created_at, columns.name)
            .limit(limit)
        )
        return list(found)

    async def unfinished(self) -> list[tuple[Job, Attempt | None]]:
        columns, of_attempt = tables.JOBS.c, tables.ATTEMPTS.c
        jobs = await self._jobs.some(
            columns.state.not_in(AT_REST),
            order=[columns.state.in_(WITH_WORKER).desc(), columns.created_at, columns.name],
            limit=_MOST_UNFINISHED,
        )
        attempts = await self._attempts.some(
            of_attempt.job == columns.name,
            of_attempt.number == columns.attempt,
            columns.state.in_(WITH_WORKER),
            order=[of_attempt.job],
        )
        current = {(attempt.job, attempt.number): attempt for attempt in attempts}
        return [(job, current.get((job.name, job.attempt))) for job in jobs]

    async def change_of(self, name: str) -> int | None:
        statement = select(tables.JOBS.c.change).where(tables.JOBS.c.name == name)
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def get_attempt(self, job: str, number: int) -> Attempt | None:
        columns = tables.ATTEMPTS.c
        return await self._attempts.one(columns.job == job, columns.number == number)

    async def find_attempt(self, token_hash: str) -> Attempt | None:
        return await self._attempts.one(tables.ATTEMPTS.c.token_hash == token_hash)


class _Records:
    def __init__(self, session: AsyncSession) -> None:
        self._events = Rows(session, tables.EVENTS, Event)
        self._metrics = Rows(session, tables.METRICS, MetricPoint)
        self._lines = Rows(session, tables.LOG_LINES, LogLine)
        self._samples = Rows(session, tables.SAMPLES, Sample)
        self._answers = Rows(session, tables.SAMPLE_ANSWERS, SampleAnswer)
        self.add_event = self._events.add
        self.put_metric = self._metrics.put
        self.put_answer = self._answers.put

    async def events(self, job: str, after: int, limit: int) -> list[Event]:
        columns = tables.EVENTS.c
        conditions = (columns.job == job, columns.sequence > after)
        return await self._events.some(*conditions, order=[columns.sequence], limit=limit)

    async def changed_events(self, job: str, after: int, upto: int, limit: int) -> list[Event]:
        return await _changed(self._events, tables.EVENTS, job, after, upto, limit)

    async def metric_at(self, job: str, step: int) -> MetricPoint | None:
        return await self._metrics.one(tables.METRICS.c.job == job, tables.METRICS.c.step == step)

    async def metrics(self, job: str, after: int, limit: int) -> list[MetricPoint]:
        columns = tables.METRICS.c
        conditions = (columns.job == job, columns.step > after)
        return await self._metrics.some(*conditions, order=[columns.step], limit=limit)

    async def changed_metrics(self, job: str, after: int, upto: int, limit: int) -> list[MetricPoint]:
        return await _changed(self._metrics, tables.METRICS, job, after, upto, limit)

    async def add_log_lines(self, lines: Sequence[LogLine]) -> None:
        await self._lines.add(*lines)

    async def log_lines(self, job: str, after: int, limit: int) -> list[LogLine]:
        columns = tables.LOG_LINES.c
        conditions = (columns.job == job, columns.sequence > after)
        return await self._lines.some(*conditions, order=[columns.sequence], limit=limit)

    async def log_lines_of_attempt(self, job: str, attempt: int, after: int, limit: int) -> list[LogLine]:
        columns = tables.LOG_LINES.c
        conditions = (columns.job == job, columns.attempt == attempt, columns.sequence > after)
        return await self._lines.some(*conditions, order=[columns.sequence], limit=limit)

    async def changed_log_lines(self, job: str, after: int, upto: int, limit: int) -> list[LogLine]:
        return await _changed(self._lines, tables.LOG_LINES, job, after, upto, limit)

    async def put_sample(self, sample: Sample) -> None:
        columns = tables.SAMPLES.c
        known = await self._samples.one(columns.job == sample.job, columns.example == sample.example)
        await self._samples.put(sample.over(known))

    async def samples(self, job: str) -> list[Sample]:
        columns = tables.SAMPLES.c
        return await self._samples.some(columns.job == job, order=[columns.position, columns.example])

    async def answers(self, job: str, example: str) -> list[SampleAnswer]:
        columns = tables.SAMPLE_ANSWERS.c
        conditions = (columns.job == job, columns.example == example)
        return await self._answers.some(*conditions, order=[columns.step])

    async def drop_answers(self, job: str, example: str, steps: Sequence[int]) -> None:
        columns = tables.SAMPLE_ANSWERS.c
        if steps:
            await self._answers.remove(
                columns.job == job, columns.example == example, columns.step.in_(steps)
            )


class _Folders:
    def __init__(self, session: AsyncSession) -> None:
        self._folders = Rows(session, tables.FOLDERS, Folder)
        self.add = self._folders.add
        self.save = self._folders.save

    async def get(self, job: str, path: str, attempt: int) -> Folder | None:
        columns = tables.FOLDERS.c
        return await self._folders.one(columns.job == job, columns.path == path, columns.attempt == attempt)

    async def delete(self, folder: Folder) -> None:
        columns = tables.FOLDERS.c
        await self._folders.remove(
            columns.job == folder.job, columns.path == folder.path, columns.attempt == folder.attempt
        )

    async def of(self, job: str, *states: FolderState) -> list[Folder]:
        columns = tables.FOLDERS.c
        return await self._folders.some(
            columns.job == job, columns.state.in_(states), order=[columns.path, columns.attempt]
        )

    async def logs_to_keep(self, limit: int) -> list[Folder]:
        columns = tables.FOLDERS.c
        conditions = (columns.state == FolderState.OPEN, columns.path.startswith(LOG_PREFIX, autoescape=True))
        return await self._folders.some(*conditions, order=[columns.created_at, columns.job], limit=limit)

    async def doomed(self, limit: int) -> list[Folder]:
        columns = tables.FOLDERS.c
        return await self._folders.some(
            columns.state == FolderState.DOOMED, order=[columns.job, columns.path], limit=limit
        )


class _Usage:
    def __init__(self, session: AsyncSession) -> None:
        self._times = Rows(session, tables.MACHINE_TIMES, MachineTime)

    async def put(self, *times: MachineTime) -> None:
        await self._times.remove(tables.MACHINE_TIMES.c.machine.in_([time.machine for time in times]))
        await self._times.add(*times)

    async def running(self) -> list[MachineTime]:
        columns = tables.MACHINE_TIMES.c
        return await self._times.some(columns.ended_at.is_(None), order=[columns.machine])

    async def between(self, project: str, job: str, start: datetime, end: datetime) -> list[MachineTime]:
        columns = tables.MACHINE_TIMES.c
        conditions = [
            columns.project == project,
            columns.started_at < end,
            or_(columns.ended_at.is_(None), columns.ended_at > start),
        ]
        if job:
            conditions.append(columns.job == job)
        return await self._times.some(*conditions, order=[columns.machine])


class _Leases:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def take(self, name: str, holder: str, now: datetime, until: datetime) -> bool:
        columns = tables.LEASES.c
        taken = await self._session.execute(
            update(tables.LEASES)
            .where(columns.name == name, or_(columns.holder == holder, columns.until < now))
            .values(holder=holder, until=until)
            .returning(columns.name)
        )
        if taken.first() is not None:
            return True
        known = await self._session.execute(select(columns.name).where(columns.name == name))
        if known.first() is not None:
            return False
        try:
            await self._session.execute(insert(tables.LEASES).values(name=name, holder=holder, until=until))
        except IntegrityError:
            await self._session.rollback()
            return False
        return True

    async def release(self, name: str, holder: str) -> None:
        columns = tables.LEASES.c
        await self._session.execute(
            delete(tables.LEASES).where(columns.name == name, columns.holder == holder)
        )


class UnitOfWork(database.UnitOfWork):
    """Implements `ports.UnitOfWork`."""

    jobs: ports.Jobs
    records: ports.Records
    folders: ports.Folders
    models: ports.Models
    usage: ports.Usage
    leases: ports.Leases

    def open(self) -> None:
        """Makes the repositories."""
        self.jobs = _Jobs(self.session)
        self.records = _Records(self.session)
        self.folders = _Folders(self.session)
        self.models = Models(self.session)
        self.usage = _Usage(self.session)
        self.leases = _Leases(self.session)


async def _changed(rows: Rows[T], table: Table, job: str, after: int, upto: int, limit: int) -> list[T]:
    columns = table.c
    conditions = (columns.job == job, columns.change > after, columns.change <= upto)
    return await rows.some(*conditions, order=[columns.change], limit=limit)
