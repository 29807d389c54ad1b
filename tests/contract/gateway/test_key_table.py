"""The table of API keys on both databases, made by the migrations."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from visiontune_gateway.adapters.database import UnitOfWork
from visiontune_gateway.adapters.tables import METADATA
from visiontune_gateway.domain.api_keys import ApiKey
from visiontune_kit.database import Database

from tests.support.databases import database_url, migrate

__all__ = ["database_url"]
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await asyncio.to_thread(migrate, database_url, "visiontune_gateway")
    opened = Database.open(database_url)
    yield opened
    await opened.close()


def key(key_id: str, project: str = "p", minutes: int = 0) -> ApiKey:
    return ApiKey(key_id, project, "Name", 2, "0" * 64, NOON + timedelta(minutes=minutes))


async def add(database: Database, *keys: ApiKey) -> None:
    async with UnitOfWork(database) as uow:
        for one in keys:
            await uow.keys.add(one)
        await uow.commit()


async def test_the_migrations_make_the_tables_of_the_code(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_key_is_read_as_it_was_written(database: Database) -> None:
    await add(database, key("k-1"))
    async with UnitOfWork(database) as uow:
        assert await uow.keys.find("k-1") == key("k-1")
        assert await uow.keys.find("k-2") is None


async def test_leaving_without_commit_writes_nothing(database: Database) -> None:
    async with UnitOfWork(database) as uow:
        await uow.keys.add(key("k-1"))
    async with UnitOfWork(database) as uow:
        assert await uow.keys.find("k-1") is None


async def test_pages_go_from_new_to_old_within_the_project(database: Database) -> None:
    await add(database, key("a", minutes=1), key("b", minutes=2), key("c", minutes=2), key("x", "other"))
    async with UnitOfWork(database) as uow:
        first = await uow.keys.page("p", None, 2)
        rest = await uow.keys.page("p", (first[-1].created_at, first[-1].id), 2)
    assert [one.id for one in [*first, *rest]] == ["c", "b", "a"]


async def test_a_secret_is_replaced_and_a_key_removed(database: Database) -> None:
    await add(database, key("k-1"), key("k-2"))
    async with UnitOfWork(database) as uow:
        await uow.keys.replace_secret("k-1", "1" * 64)
        await uow.keys.remove("k-2")
        await uow.commit()
    async with UnitOfWork(database) as uow:
        changed = await uow.keys.find("k-1")
        assert changed is not None
        assert changed.secret_sha256 == "1" * 64
        assert await uow.keys.find("k-2") is None
