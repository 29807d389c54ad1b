"""Runs a service's Alembic history, which lies in `<package>/migrations`, on either database."""

import asyncio
from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from sqlalchemy import Connection, MetaData, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

# Replicas that start together migrate one after the other.
_LOCK_ID = 7_208_115


def upgrade(url: str, package: str) -> None:
    """Brings the database at `url` to the newest revision of `package`. Safe to repeat."""
    command.upgrade(config(url, package), "head")


def config(url: str, package: str) -> Config:
    """Returns Alembic's configuration for one service."""
    result = Config()
    result.set_main_option("script_location", str(files(package) / "migrations"))
    result.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return result


def run(context: EnvironmentContext, metadata: MetaData) -> None:
    """Body of every `migrations/env.py`."""
    url = context.config.get_main_option("sqlalchemy.url") or ""
    asyncio.run(_run(context, metadata, url))


async def _run(context: EnvironmentContext, metadata: MetaData, url: str) -> None:
    engine = create_async_engine(url, poolclass=pool.NullPool)

    def migrate(connection: Connection) -> None:
        context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
        with context.begin_transaction():
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK_ID})"))
            context.run_migrations()

    async with engine.connect() as connection:
        await connection.run_sync(migrate)
        await connection.commit()
    await engine.dispose()
