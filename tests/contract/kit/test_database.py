"""What the kit's transactions answer to values that a database refuses, on each database."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, insert, select
from visiontune_kit.database import Database, ValueUnfit

from tests.support.databases import create_tables

METADATA = MetaData()
THINGS = Table(
    "things", METADATA, Column("id", Integer), Column("size", BigInteger), Column("name", String(9))
)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await create_tables(database_url, METADATA)
    opened = Database.open(database_url)
    yield opened
    await opened.close()


async def look_for(database: Database, **values: object) -> None:
    async with database.session() as session:
        await session.execute(select(THINGS).filter_by(**values))


async def test_a_number_out_of_range_is_the_callers_fault(database: Database) -> None:
    with pytest.raises(ValueUnfit):
        await look_for(database, size=2**63)
    await look_for(database, size=2**63 - 1)


# SQLite holds any text and has one size of numbers.
@pytest.mark.parametrize("values", [{"name": "a\0b"}, {"name": "longer than 9"}, {"id": 2**31}])
async def test_what_postgresql_alone_refuses(database: Database, values: dict[str, object]) -> None:
    async def add() -> None:
        async with database.session() as session:
            await session.execute(insert(THINGS).values(values))
            await session.commit()

    if database.engine.dialect.name == "sqlite":
        await add()
        return
    with pytest.raises(ValueUnfit):
        await add()
    await look_for(database, id=1)
