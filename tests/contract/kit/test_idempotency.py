"""A call whose server died blocks its own retry for seconds, one that lives for as long as it takes."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import MetaData
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune_kit import idempotency
from visiontune_kit.database import Database
from visiontune_kit.idempotency import RequestInFlight, Requests

from tests.support.clocks import MovableClock
from tests.support.databases import create_tables

METHOD = "/visiontune.storage.v1.StorageService/CreateUpload"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    metadata = MetaData()
    idempotency.table(metadata)
    await create_tables(database_url, metadata)
    opened = Database.open(database_url)
    yield opened
    await opened.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "_WAIT_S", 0.2)


def request() -> pb.CreateUploadRequest:
    return pb.CreateUploadRequest(parent="projects/p", request_id=str(uuid.uuid4()))


async def test_another_replica_takes_over_from_a_dead_one_within_seconds(database: Database) -> None:
    clock, call = MovableClock(), request()
    dead, other = Requests(database, clock), Requests(database, clock)
    assert await dead.begin("me", METHOD, call) is None  # and is never heard of again
    clock.moved = timedelta(seconds=14)
    with pytest.raises(RequestInFlight):
        await other.begin("me", METHOD, call)
    clock.moved = timedelta(seconds=16)
    assert await other.begin("me", METHOD, call) is None


async def test_a_long_call_that_lives_is_not_taken_over(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "_RENEW_EVERY_S", 0.02)
    clock, call = MovableClock(), request()
    slow, other = Requests(database, clock), Requests(database, clock)
    assert await slow.begin("me", METHOD, call) is None
    renewing = asyncio.create_task(slow.renew_for_ever())
    for seconds in (10, 20, 30):
        clock.moved = timedelta(seconds=seconds)
        await asyncio.sleep(0.2)
    with pytest.raises(RequestInFlight):
        await other.begin("me", METHOD, call)
    await slow.succeed(pb.Upload(name="made"))
    renewing.cancel()
    stored = await other.begin("me", METHOD, call)
    assert stored is not None
    assert pb.Upload.FromString(stored).name == "made"
