"""Workers of attempts that the database does not know: the database may be the wrong one."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from visiontune_kit.database import Database
from visiontune_trainer.adapters.database import UnitOfWork
from visiontune_trainer.adapters.hub_configs import HubConfigs
from visiontune_trainer.adapters.model_folders import ModelFolders
from visiontune_trainer.domain.next_step import Observation, Sight
from visiontune_trainer.domain.states import State
from visiontune_trainer.use_cases.deps import Deps
from visiontune_trainer.use_cases.reconcile import Reconciler

from tests.support import databases
from tests.support.trainer import HandBackend
from tests.support.trainer_values import JOB, NOW, make_attempt, make_job

ATTEMPT = f"{JOB}/attempts/1"


class HandClock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time


class World:
    """A loop whose backend shows one worker, in a namespace that others may share."""

    def __init__(self, database: Database) -> None:
        self.backend = HandBackend()
        self.backend.patience_with_strangers = timedelta(minutes=10)
        self.backend.seen[ATTEMPT] = Observation(Sight.ALIVE)
        self.clock = HandClock()
        absent: Any = None  # what this loop does not touch
        self.deps = Deps(
            model_folders=ModelFolders(()),
            hub_configs=HubConfigs(enabled=False),
            unit_of_work=lambda: UnitOfWork(database),
            storage=absent,
            datasets=absent,
            previewer=absent,
            backend=self.backend,
            clock=self.clock,
            replica="r",
            new_token=lambda: "t",
        )
        self.reconciler = Reconciler(self.deps)

    async def tick_after(self, **time: float) -> list[str]:
        """Returns what has been stopped so far."""
        self.clock.time += timedelta(**time)
        await self.reconciler.tick()
        return self.backend.stopped


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    database = Database.open(await asyncio.to_thread(databases.migrated_in, tmp_path, "trainer"))
    yield World(database)
    await database.close()


async def test_a_stranger_is_left_alone_for_ten_minutes(world: World) -> None:
    assert await world.tick_after() == []
    assert await world.tick_after(minutes=9, seconds=59) == []
    assert await world.tick_after(seconds=1) == [ATTEMPT]


async def test_one_whose_row_appears_is_no_stranger(world: World) -> None:
    await world.tick_after()
    async with world.deps.unit_of_work() as uow:
        await uow.jobs.add(make_job(state=State.STARTING, attempt=1))
        await uow.jobs.add_attempt(make_attempt())
        await uow.commit()
    assert await world.tick_after(minutes=4) == []
    assert await world.tick_after(seconds=10) == []


async def test_a_loop_that_has_just_taken_over_looks_for_ten_minutes_itself(world: World) -> None:
    await world.tick_after()
    world.reconciler = Reconciler(world.deps)
    assert await world.tick_after(minutes=10) == []
    assert await world.tick_after(minutes=10) == [ATTEMPT]


async def test_a_worker_of_an_attempt_that_is_over_goes_at_once(world: World) -> None:
    async with world.deps.unit_of_work() as uow:
        await uow.jobs.add(make_job(state=State.CANCELLED, attempt=1, ended_at=NOW))
        await uow.jobs.add_attempt(make_attempt(ended_at=NOW))
        await uow.commit()
    assert await world.tick_after() == [ATTEMPT]
