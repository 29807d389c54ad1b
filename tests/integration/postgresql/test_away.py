"""PostgreSQL that crashes, comes back, or has no connection left: calls are refused, nothing is lost."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text
from visiontune.dataset.v1 import dataset_pb2
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune_kit import errors
from visiontune_kit.database import Database, DatabaseUnavailable

from tests.support import archives
from tests.support.databases import Postgres
from tests.support.dataset import running_dataset, version_of
from tests.support.s3 import SeaweedFS
from tests.support.trainer import running_trainer

pytestmark = pytest.mark.chaos


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server that tests may stop; each starts it again."""
    made = Postgres()
    yield made
    made.close()


@asynccontextmanager
async def away(server: Postgres) -> AsyncIterator[None]:
    """It crashes before the block and is back after it."""
    await asyncio.to_thread(server.stop, "immediate")
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


async def test_an_import_goes_on_after_the_database_was_away(
    server: Postgres, s3: SeaweedFS, tmp_path: Path
) -> None:
    async with running_dataset(s3, tmp_path, database_url=server.make_database("imports")) as service:
        dataset = await service.create()
        request = dataset_pb2.GetDatasetRequest(name=dataset.name)
        operation = await service.start(dataset, archives.numbered(14, (640, 480)), "large.tar")
        await service.until_stage(operation, "READING")
        async with away(server):
            with pytest.raises(errors.Unavailable) as refused:
                await service.call("GetDataset", request)
            assert refused.value.reason == "DatabaseUnavailable"
        assert (await service.call("GetDataset", request)).name == dataset.name
        assert version_of(await service.ended(operation)).example_count == 14
        assert len(await service.versions(dataset)) == 1
        await service.until_objects(2)


async def test_jobs_and_their_workers_go_on_after_the_database_was_away(
    server: Postgres, s3: SeaweedFS, tmp_path: Path
) -> None:
    async with running_trainer(s3, tmp_path, database_url=server.make_database("jobs")) as trainer:
        job = await trainer.create()
        worker = await trainer.claimed(job)
        async with away(server):
            with pytest.raises(errors.Unavailable) as refused:
                await worker.create("checkpoints/step-1", {"a.bin": b"a"})
            assert refused.value.reason == "DatabaseUnavailable"
            await asyncio.sleep(2)  # some rounds of the loop that leads
        await worker.metrics(1, loss=2.0)
        await worker.checkpoint(1)
        assert await worker.succeed() == pb.TrainingJob.STATE_SUCCEEDED
        trainer.backend.exits(worker.attempt, 0)
        assert (await trainer.get(job.name)).attempt == 1
        await trainer.claimed(await trainer.create("next"))


async def test_a_request_in_whose_middle_the_database_went_away_can_be_repeated_at_once(
    server: Postgres, s3: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = "6f1d8cf2-5b9a-4a52-9a0e-0f6a3a0e6c11"
    async with running_trainer(s3, tmp_path, database_url=server.make_database("requests")) as trainer:
        kind_of = trainer.datasets._kind

        def while_it_crashes(name: str) -> dataset_pb2.ExampleKind.ValueType:
            server.stop("immediate")
            return kind_of(name)

        with monkeypatch.context() as between:
            between.setattr(trainer.datasets, "_kind", while_it_crashes)
            with pytest.raises(errors.Unavailable):
                await trainer.create(request_id=request_id)
        await asyncio.to_thread(server.start)
        first = await trainer.create(request_id=request_id)
        assert (await trainer.create(request_id=request_id)).uid == first.uid


async def test_without_a_free_connection_a_call_is_unavailable_and_the_next_one_works(
    server: Postgres,
) -> None:
    server.run("CREATE ROLE narrow LOGIN CONNECTION LIMIT 2")
    url = make_url(server.url()).set(username="narrow").render_as_string(hide_password=False)
    database = Database.open(url)

    async def ask() -> None:
        async with database.session() as session:
            await session.execute(text("SELECT pg_sleep(0.3)"))

    outcomes = await asyncio.gather(*(ask() for _ in range(6)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if outcome is not None]
    assert 0 < len(refused) < 6
    assert {type(outcome) for outcome in refused} == {DatabaseUnavailable}
    await ask()
    await database.close()


async def test_a_replica_holds_no_more_connections_than_it_is_told(server: Postgres) -> None:
    database = Database.open(server.make_database("narrow"), connections=2)
    most = 0

    async def ask() -> None:
        nonlocal most
        async with database.session() as session:
            count = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'narrow'"
            most = max(most, (await session.execute(text(count))).scalar_one())

    await asyncio.gather(*(ask() for _ in range(20)))
    assert most == 2
    await database.close()


async def test_a_server_that_vanishes_is_noticed_within_half_a_minute(server: Postgres) -> None:
    url = make_url(server.url())
    path = f"{url.query['host']}/.s.PGSQL.5432"

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, to = await asyncio.open_unix_connection(path)
        await asyncio.gather(copy(reader, to), copy(back, writer))

    async with await asyncio.start_server(forward, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        database = Database.open(
            url.set(host="127.0.0.1", port=port, query={}).render_as_string(hide_password=False)
        )
        async with database.engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            raw = driver._transport.get_extra_info("socket")
            # Nobody can make the kernel lose a machine here; this is what it is told to do then.
            assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
            told = {name: raw.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names}
            assert told["TCP_KEEPIDLE"] + told["TCP_KEEPINTVL"] * told["TCP_KEEPCNT"] <= 30
            assert told["TCP_USER_TIMEOUT"] <= 30_000
        await database.close()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while some := await reader.read(65_536):
        writer.write(some)
    writer.close()
