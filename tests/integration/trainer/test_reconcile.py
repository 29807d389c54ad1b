"""The reconcile loop on a real database: what a round costs, and when the next one begins."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from visiontune_kit.database import Database
from visiontune_trainer import ports
from visiontune_trainer.adapters.database import UnitOfWork
from visiontune_trainer.adapters.hub_configs import HubConfigs
from visiontune_trainer.adapters.model_folders import ModelFolders
from visiontune_trainer.domain.next_step import End, Observation, Sight
from visiontune_trainer.domain.states import State
from visiontune_trainer.use_cases import fence, reconcile
from visiontune_trainer.use_cases.deps import RECONCILER, Deps
from visiontune_trainer.use_cases.lifecycle import end_attempt
from visiontune_trainer.use_cases.reconcile import Reconciler

from tests.support import databases
from tests.support.eventually import eventually
from tests.support.trainer import HandBackend
from tests.support.trainer_values import JOB, at, make_job


class World:
    """A loop with its database; `transactions` counts those that were begun."""

    def __init__(self, database: Database, backend: HandBackend) -> None:
        self._database = database
        self.transactions = 0
        self.seconds = 0.0
        nothing: Any = None
        tokens = iter(range(1000))
        self.deps = Deps(
            model_folders=ModelFolders(()),
            hub_configs=HubConfigs(enabled=False),
            unit_of_work=self._begin,
            storage=nothing,
            datasets=nothing,
            previewer=nothing,
            backend=backend,
            clock=self,
            replica="r-1",
            new_token=lambda: f"token-{next(tokens)}",
        )
        self.loop = Reconciler(self.deps)

    def now(self) -> datetime:
        return at(self.seconds)

    def _begin(self) -> UnitOfWork:
        self.transactions += 1
        return UnitOfWork(self._database)

    async def queue(self, *numbers: int) -> None:
        """Adds jobs, as create_job does."""
        async with self.deps.unit_of_work() as uow:
            for number in numbers:
                job = make_job(name=f"{JOB}-{number}", uid=f"uid-{number}", created_at=self.deps.clock.now())
                await uow.jobs.add(job)
            await uow.commit()
        self.deps.wakeups.notify(RECONCILER)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database.open(await asyncio.to_thread(databases.migrated_in, tmp_path, "trainer"))
    yield opened
    await opened.close()


async def test_a_round_without_news_costs_the_same_for_many_jobs(database: Database) -> None:
    backend = HandBackend(slots=None)
    world = World(database, backend)
    costs = []
    for numbers in (range(1), range(1, 20)):
        await world.queue(*numbers)
        await world.loop.tick()
        before = world.transactions
        await world.loop.tick()
        costs.append(world.transactions - before)
    assert len(backend.launched) == 20
    assert costs[0] == costs[1]


class SlowBackend(HandBackend):
    """Its first launch takes until the test says so."""

    def __init__(self) -> None:
        super().__init__(slots=None)
        self.entered, self.goes_on = asyncio.Event(), asyncio.Event()

    async def launch(self, launch: ports.Launch) -> None:
        self.entered.set()
        await self.goes_on.wait()
        await super().launch(launch)


async def test_a_job_that_comes_during_a_round_is_taken_up_right_after_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "INTERVAL_S", 3600.0)
    backend = SlowBackend()
    world = World(database, backend)
    await world.queue(1)
    running = asyncio.create_task(world.loop.run())
    await backend.entered.wait()
    await world.queue(2)
    backend.goes_on.set()
    await eventually(lambda: len(backend.launched) == 2)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


class SociableBackend(HandBackend):
    """A launch succeeds only while another one runs; that of the first job fails."""

    def __init__(self) -> None:
        super().__init__(slots=None)
        self.meeting = asyncio.Barrier(2)

    async def launch(self, launch: ports.Launch) -> None:
        if launch.attempt.startswith(f"{JOB}-1/"):
            raise RuntimeError("the backend has a bug")
        async with asyncio.timeout(5):
            await self.meeting.wait()
        await super().launch(launch)


async def test_launches_wait_for_each_other_neither_in_time_nor_in_trouble(database: Database) -> None:
    backend = SociableBackend()
    world = World(database, backend)
    await world.queue(1, 2, 3)
    await world.loop.tick()
    assert sorted(backend.launched) == [f"{JOB}-2/attempts/1", f"{JOB}-3/attempts/1"]


async def finished(world: World, backend: HandBackend) -> str:
    """Queues a job, launches it and lets its worker finish; returns the attempt."""
    await world.queue(1)
    await world.loop.tick()
    (attempt,) = backend.launched
    async with world.deps.unit_of_work() as uow:
        job, current = await fence.current(uow, attempt)
        done = End(State.FAILED, "BAD_DATA", "As told.")
        await end_attempt(uow, job, current, done, world.now(), finished_by_worker=True)
        await uow.commit()
    return attempt


async def test_a_worker_that_has_finished_is_given_time_to_leave(database: Database) -> None:
    backend = HandBackend()
    world = World(database, backend)
    attempt = await finished(world, backend)
    for world.seconds, stopped in ((0.0, []), (20.0, []), (31.0, [attempt])):
        await world.loop.tick()
        assert backend.stopped == stopped


class EndingBackend(HandBackend):
    """Its workers end right after they were listed, and leave something to be looked at."""

    async def attempts(self) -> list[str]:
        listed = [name for name, seen in self.seen.items() if seen.sight is Sight.ALIVE]
        for name in listed:
            self.exits(name, 65)
        return listed


async def test_what_has_ended_since_it_was_listed_is_not_cleared_away(database: Database) -> None:
    backend = EndingBackend()
    world = World(database, backend)
    attempt = await finished(world, backend)
    backend.seen[attempt] = Observation(Sight.ALIVE)
    await world.loop.tick()
    assert backend.stopped == []
    assert backend.seen[attempt].sight is Sight.EXITED


class ReadingBackend(HandBackend):
    """Notes what the users of job 1 are told while job 2 is launched."""

    def __init__(self) -> None:
        super().__init__(slots=None)
        self.world: World
        self.told: list[str] = []

    async def launch(self, launch: ports.Launch) -> None:
        if launch.attempt.startswith(f"{JOB}-2/"):
            async with self.world.deps.unit_of_work() as uow:
                job = await uow.jobs.get(f"{JOB}-1")
            self.told.append(job.message if job else "")
        await super().launch(launch)


async def test_launches_come_before_news(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "AT_ONCE", 1)
    backend = ReadingBackend()
    backend.world = world = World(database, backend)
    await world.queue(1)
    await world.loop.tick()
    backend.seen = {name: Observation(Sight.ALIVE, waiting="Waits for a node.") for name in backend.launched}
    world.seconds = 5.0
    await world.queue(2)
    await world.loop.tick()
    async with world.deps.unit_of_work() as uow:
        job = await uow.jobs.get(f"{JOB}-1")
    assert (backend.told, job and job.message) == (["Starts attempt 1."], "Waits for a node.")


async def test_one_that_does_not_lead_yet_leaves_no_worker_behind_either(database: Database) -> None:
    backend = HandBackend()
    world = World(database, backend)
    async with world.deps.unit_of_work() as uow:
        assert await uow.leases.take("reconcile", "one that died", at(0), at(60))
        await uow.commit()
    before = world.transactions
    running = asyncio.create_task(world.loop.run())
    await eventually(lambda: world.transactions > before)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert backend.is_closed
