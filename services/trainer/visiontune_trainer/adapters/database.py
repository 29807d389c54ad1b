"""The repositories, on SQLAlchemy: rows and values of the domain have the same fields."""

import json
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import Table, Text, delete, insert, literal, or_, select, tuple_, type_coerce, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from visiontune_kit import database
from visiontune_kit.errors import Aborted

from visiontune_trainer import ports
from visiontune_trainer.adapters import tables
from visiontune_trainer.domain.folders import Folder, FolderState
from visiontune_trainer.domain.job import Attempt, Event, Job
from visiontune_trainer.domain.models import Model
from visiontune_trainer.domain.reports import LogLine, MetricPoint, Sample, SampleAnswer
from visiontune_trainer.domain.states import FINAL, WITH_WORKER
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


class LostRace(Aborted):
    """Another call made the same row first."""

    def __init__(self) -> None:
        super().__init__("Another call did the same at the same time. Try again.")


class _Rows(Generic[T]):
    """Values of one type in one table."""

    def __init__(self, session: AsyncSession, table: Table, kind: type[T]) -> None:
        self._session = session
        self._table = table
        self._kind = kind
        self._fields = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # T is a dataclass

    async def one(self, *conditions: Any, lock: bool = False) -> T | None:
        statement = select(self._table).where(*conditions)
        row = (await self._session.execute(statement.with_for_update() if lock else statement)).one_or_none()
        return None if row is None else self._kind(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name

    async def some(self, *conditions: Any, order: Sequence[Any], limit: int | None = None) -> list[T]:
        statement = select(self._table).where(*conditions).order_by(*order).limit(limit)
        rows = (await self._session.execute(statement)).all()
        return [self._kind(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name

    async def add(self, *values: T) -> None:
        if not values:
            return
        try:
            await self._session.execute(insert(self._table), [self._columns(value) for value in values])
        except IntegrityError as error:
            raise LostRace from error

    async def save(self, value: T) -> None:
        await self._session.execute(update(self._table).where(*self._key(value)).values(self._columns(value)))

    async def put(self, value: T) -> None:
        await self.remove(*self._key(value))
        await self.add(value)

    async def remove(self, *conditions: Any) -> None:
        await self._session.execute(delete(self._table).where(*conditions))

    def _columns(self, value: T) -> dict[str, Any]:
        return {name: getattr(value, name) for name in self._fields}

    def _key(self, value: T) -> list[Any]:
        return [column == getattr(value, column.name) for column in self._table.primary_key]


class _Jobs:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._jobs = _Rows(session, tables.JOBS, Job)
        self._attempts = _Rows(session, tables.ATTEMPTS, Attempt)
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
        conditions = _newest_first(tables.JOBS, project, after)
        if dataset:
            # As the spec is written: no text of a user's can look so, since its quotes are escaped.
            is_version = dataset.count("/") > 3
            start = json.dumps(dataset if is_version else f"{dataset}/versions/")
            text = f'"dataset_version":{start if is_version else start[:-1]}'
            conditions.append(type_coerce(tables.JOBS.c.spec, Text).contains(text, autoescape=True))
        return await self._jobs.some(*conditions, order=_newest_order(tables.JOBS), limit=limit)

    async def unfinished(self) -> list[tuple[Job, Attempt | None]]:
        columns, of_attempt = tables.JOBS.c, tables.ATTEMPTS.c
        jobs = await self._jobs.some(
            columns.state.not_in(FINAL),
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
        self._events = _Rows(session, tables.EVENTS, Event)
        self._metrics = _Rows(session, tables.METRICS, MetricPoint)
        self._lines = _Rows(session, tables.LOG_LINES, LogLine)
        self._samples = _Rows(session, tables.SAMPLES, Sample)
        self._answers = _Rows(session, tables.SAMPLE_ANSWERS, SampleAnswer)
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
        self._folders = _Rows(session, tables.FOLDERS, Folder)
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

    async def doomed(self, limit: int) -> list[Folder]:
        columns = tables.FOLDERS.c
        return await self._folders.some(
            columns.state == FolderState.DOOMED, order=[columns.job, columns.path], limit=limit
        )


class _Models:
    def __init__(self, session: AsyncSession) -> None:
        self._models = _Rows(session, tables.MODELS, Model)
        self.add = self._models.add

    async def get(self, name: str) -> Model | None:
        return await self._models.one(tables.MODELS.c.name == name)

    async def page(self, project: str, after: tuple[datetime, str] | None, limit: int) -> list[Model]:
        return await self._models.some(
            *_newest_first(tables.MODELS, project, after), order=_newest_order(tables.MODELS), limit=limit
        )

    async def made_of(self, owner: str) -> bool:
        found = await self._models.some(tables.MODELS.c.owner == owner, order=[tables.MODELS.c.name], limit=1)
        return bool(found)


class _Usage:
    def __init__(self, session: AsyncSession) -> None:
        self._times = _Rows(session, tables.MACHINE_TIMES, MachineTime)

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
        self.models = _Models(self.session)
        self.usage = _Usage(self.session)
        self.leases = _Leases(self.session)


async def _changed(rows: _Rows[T], table: Table, job: str, after: int, upto: int, limit: int) -> list[T]:
    columns = table.c
    conditions = (columns.job == job, columns.change > after, columns.change <= upto)
    return await rows.some(*conditions, order=[columns.change], limit=limit)


def _newest_first(table: Table, project: str, after: tuple[datetime, str] | None) -> list[Any]:
    conditions = [table.c.project == project]
    if after is not None:
        conditions.append(tuple_(table.c.created_at, table.c.name) < tuple_(*map(literal, after)))
    return conditions


def _newest_order(table: Table) -> list[Any]:
    return [table.c.created_at.desc(), table.c.name.desc()]
