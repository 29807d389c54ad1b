"""Operations on real processes that are killed and frozen at random moments."""

import os
import random

import pytest

from benchmarks.durable.scenarios import LEASES, SCENARIOS, Lane, restarted, stormy
from tests.support.databases import database_url

__all__ = ["database_url"]


def lane(url: str) -> Lane:
    seed = int(os.environ.get("VISIONTUNE_TEST_SEED", random.SystemRandom().randrange(10**6)))
    print(f"VISIONTUNE_TEST_SEED={seed} replays this")
    return Lane(LEASES, url, random.Random(seed))


async def test_a_killed_replica_goes_on_where_nothing_is_lost_or_doubled(database_url: str) -> None:
    outcome = await restarted(lane(database_url), 2)
    assert outcome.clean, outcome


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != stormy.__name__])
async def test_nothing_is_lost_doubled_or_stuck(name: str, database_url: str) -> None:
    outcome = await SCENARIOS[name](lane(database_url), 5)
    assert outcome.clean, outcome


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_storm_of_kills_and_freezes_loses_doubles_and_blocks_nothing(database_url: str) -> None:
    outcome = await stormy(lane(database_url), 30)
    assert outcome.rounds >= 10
    assert outcome.clean, outcome
