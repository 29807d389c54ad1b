"""Runs a service's Alembic history, which lies in `<package>/migrations`, on either database."""

import asyncio
from collections.abc import Set
from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, pool, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from visiontune_kit import logs

# Replicas that start together migrate one after the other.
_LOCK_ID = 7_208_115

log = logs.get(__name__)


def upgrade(url: str, package: str) -> None:
    """Brings the database at `url` to the newest revision of `package`. Safe to repeat."""
    command.upgrade(config(url, package), "head")


def wait(url: str, package: str, poll_s: float = 1.0) -> None:
    """Returns once somebody has brought the database to what `package` needs, however long that takes."""
    script = ScriptDirectory.from_config(config(url, package))
    known = {revision.revision for revision in script.walk_revisions()}
    asyncio.run(_wait(url, script.get_current_head(), known, poll_s))


def is_served(at: str | None, head: str | None, known: Set[str]) -> bool:
    """True when code whose newest revision is `head` can use a database that is at `at`.

    A revision that the code does not know is a newer one, made while this release still serves: releases
    change a schema so that the one before can use it.
    """
    return at == head or (at is not None and at not in known)


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


async def _wait(url: str, head: str | None, known: Set[str], poll_s: float) -> None:
    told = ""
    while True:
        try:
            at = await _current(url)
            if is_served(at, head, known):
                return
            state = f"the schema is at {at or 'nothing'}, not {head}"
        except (OSError, SQLAlchemyError) as error:
            state = f"the database cannot be reached: {type(error).__name__}"
        if state != told:
            log.info("migration_awaited", state=state)
            told = state
        await asyncio.sleep(poll_s)


async def _current(url: str) -> str | None:
    engine = create_async_engine(url, poolclass=pool.NullPool)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(
                lambda sync: MigrationContext.configure(sync).get_current_revision()
            )
    finally:
        await engine.dispose()


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
