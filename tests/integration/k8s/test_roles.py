"""The overlay `local`'s script, as PostgreSQL's image runs it, on a real PostgreSQL."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest
from asyncpg.exceptions import InsufficientPrivilegeError
from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from visiontune_kit import migrations

from tests.support.databases import PROGRAMS, Postgres, postgres
from tests.support.kustomize import K8S
from tests.support.manifests import SERVERS

__all__ = ["postgres"]


@pytest.fixture
def server(postgres: Postgres, tmp_path: Path) -> URL:
    """A PostgreSQL on which the script has run, with a quote in each password."""
    for name in SERVERS:
        (tmp_path / name).write_text(f"it's {name}'s", "utf-8")
    script = (K8S / "overlays/local/roles.sh").read_text("utf-8")
    url = make_url(postgres.url())
    subprocess.run(
        ["sh", "-ec", script.replace("/etc/visiontune/passwords", str(tmp_path))],
        env={"PATH": f"{PROGRAMS}:{os.environ['PATH']}", "PGHOST": str(url.query["host"])},
        check=True,
    )
    return url


async def test_each_service_owns_a_database_and_enters_no_other(server: URL) -> None:
    for name in SERVERS:
        role = server.set(username=f"visiontune_{name}")
        await asyncio.to_thread(migrations.upgrade, text_of(role, name), f"visiontune_{name}")
        await asyncio.to_thread(migrations.wait, text_of(role, name), f"visiontune_{name}")
        with pytest.raises(InsufficientPrivilegeError, match="permission denied for database"):
            await select_one(text_of(role, "storage" if name == "gateway" else "gateway"))


def text_of(role: URL, database: str) -> str:
    return role.set(database=f"visiontune_{database}").render_as_string(hide_password=False)


async def select_one(url: str) -> None:
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    finally:
        await engine.dispose()
