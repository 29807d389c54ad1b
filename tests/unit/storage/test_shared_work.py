"""Work that is shared by all who ask for it."""

import asyncio

import pytest
from visiontune_storage.adapters.shared_work import SharedWork


async def test_all_who_ask_at_once_share_one_run() -> None:
    runs: list[str] = []

    async def work(key: str) -> str:
        runs.append(key)
        await asyncio.sleep(0.01)
        return key.upper()

    shared = SharedWork(work)
    assert await asyncio.gather(*(shared.of("a") for _ in range(5)), shared.of("b")) == [*"AAAAA", "B"]
    assert runs == ["a", "b"]


async def test_who_gives_up_waiting_finds_the_result_later() -> None:
    runs: list[str] = []

    async def work(key: str) -> str:
        runs.append(key)
        await asyncio.sleep(0.05)
        return "done"

    shared = SharedWork(work)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(shared.of("a"), 0.01)
    await asyncio.sleep(0.1)
    assert await shared.of("a") == "done"
    assert runs == ["a"]


async def test_a_failure_is_not_remembered() -> None:
    outcomes: list[Exception | str] = [ValueError("once"), "done"]

    async def work(key: str) -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    shared = SharedWork(work)
    with pytest.raises(ValueError, match="once"):
        await shared.of("a")
    assert await shared.of("a") == "done"


async def test_only_so_many_results_are_kept() -> None:
    async def work(key: str) -> str:
        return key

    shared = SharedWork(work)
    for number in range(1000):
        await shared.of(str(number))
    assert len(shared._tasks) <= 257
