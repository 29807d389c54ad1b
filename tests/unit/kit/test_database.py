"""Transactions on a real SQLite file, whatever the tests run on: how they take turns is about SQLite."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, select, update
from sqlalchemy.exc import StatementError
from visiontune_kit.database import Database, UnitOfWork, UtcDateTime

METADATA = MetaData()
COUNTERS = Table(
    "counters",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("value", Integer),
    Column("at", UtcDateTime),
)


@pytest.fixture
async def database(tmp_path: Path) -> Database:
    opened = Database.open(f"sqlite+aiosqlite:///{tmp_path / 'test.db'}")
    async with opened.engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
        await connection.execute(insert(COUNTERS).values(id=1, value=0))
    return opened


async def value(database: Database) -> int:
    async with database.session() as session:
        return int((await session.execute(select(COUNTERS.c.value))).scalar_one())


async def test_leaving_without_commit_rolls_back(database: Database) -> None:
    async with UnitOfWork(database) as uow:
        await uow.session.execute(update(COUNTERS).values(value=5))
    assert await value(database) == 0


async def test_commit_makes_it_visible(database: Database) -> None:
    async with UnitOfWork(database) as uow:
        await uow.session.execute(update(COUNTERS).values(value=5))
        await uow.commit()
    assert await value(database) == 5


async def test_readers_that_turn_writers_wait_for_each_other(database: Database) -> None:
    async def increment() -> None:
        async with database.session() as session:
            seen = (await session.execute(select(COUNTERS.c.value))).scalar_one()
            await asyncio.sleep(0.005)
            await session.execute(update(COUNTERS).values(value=seen + 1))
            await session.commit()

    await asyncio.gather(*(increment() for _ in range(20)))
    assert await value(database) == 20


async def test_times_come_back_in_utc(database: Database) -> None:
    at = datetime(2026, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    async with database.session() as session:
        await session.execute(update(COUNTERS).values(at=at))
        await session.commit()
    async with database.session() as session:
        got = (await session.execute(select(COUNTERS.c.at))).scalar_one()
    assert got == at
    assert got.tzinfo is UTC


async def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    async with database.session() as session:
        with pytest.raises(StatementError, match="naive"):
            await session.execute(update(COUNTERS).values(at=datetime(2026, 5, 1)))  # noqa: DTZ001 - the point
