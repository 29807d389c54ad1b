"""Waiting for another process to migrate, on a database that is away, empty and then ready."""

import asyncio
from pathlib import Path

from visiontune_kit import migrations

PACKAGE = "visiontune_storage"


# SQLite whatever the tests run on: a folder that is not there is a database that is away.
async def test_waiting_ends_when_the_schema_is_there(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'later' / 'storage.db'}"
    waiting = asyncio.create_task(asyncio.to_thread(migrations.wait, url, PACKAGE, 0.05))
    await asyncio.sleep(0.3)
    (tmp_path / "later").mkdir()
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await asyncio.to_thread(migrations.upgrade, url, PACKAGE)
    await asyncio.wait_for(waiting, 30)
