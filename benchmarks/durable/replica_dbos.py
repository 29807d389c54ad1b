"""One replica of a service whose operations are DBOS workflows, by DBOS's public API alone.

Around DBOS stands what it needs here: a table of live replicas and a sweep that resumes the workflows of
dead ones, a row with each operation's progress and end, and an owner that fences the progress.
"""

# mypy: disable-error-code="import-not-found, untyped-decorator"

import argparse
import os
import signal
import sys
import threading
import time
import uuid
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, SQLAlchemyDatasource

METADATA = sa.MetaData()
ANSWERS = sa.Table("answers", METADATA, sa.Column("name", sa.String(200), primary_key=True))
EFFECTS = sa.Table(
    "effects", METADATA, sa.Column("name", sa.String(200)), sa.Column("replica", sa.String(40))
)
OPERATIONS = sa.Table(
    "operations",
    METADATA,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("metadata", sa.LargeBinary, nullable=False),
    sa.Column("done", sa.Boolean, nullable=False),
    sa.Column("cancel_requested", sa.Boolean, nullable=False),
    sa.Column("owner", sa.String(40), nullable=False),
)
REPLICAS = sa.Table(
    "replicas", METADATA, sa.Column("id", sa.String(40), primary_key=True), sa.Column("beat", sa.Integer)
)
TRIES = sa.Table("tries", METADATA, sa.Column("name", sa.String(200)), sa.Column("replica", sa.String(40)))
TICK_S = 0.1


class Stopped(Exception):  # noqa: N818 - not an error
    """The operation was cancelled, or belongs to another execution by now."""


def parse() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--id", required=True)
    parser.add_argument("--lease-s", type=float, required=True)
    parser.add_argument("--work-s", type=float, required=True)
    parser.add_argument("--machine", required=True)
    return parser.parse_args()


ARGUMENTS = parse()
URL = ARGUMENTS.url.replace("+aiosqlite", "").replace("+asyncpg", "+psycopg")
ENGINE = sa.create_engine(URL, connect_args={"timeout": 30} if URL.startswith("sqlite") else {})
METADATA.create_all(ENGINE)
DBOS(
    config={
        "name": "comparison",
        "system_database_url": URL,
        "executor_id": ARGUMENTS.id,
        "application_version": "1",
        "log_level": "ERROR",
        "notification_listener_polling_interval_sec": 0.2,
    }
)
DATASOURCE = SQLAlchemyDatasource.create(URL)


@DBOS.step()
def work(name: str) -> None:
    """Takes its time, reporting progress every tenth of a second while it is still the owner."""
    owner = uuid.uuid4().hex
    with ENGINE.begin() as connection:
        connection.execute(sa.update(OPERATIONS).where(OPERATIONS.c.name == name).values(owner=owner))
        connection.execute(sa.insert(TRIES).values(name=name, replica=ARGUMENTS.id))
    mine = sa.and_(OPERATIONS.c.name == name, OPERATIONS.c.owner == owner)
    mine = sa.and_(mine, OPERATIONS.c.done.is_(False), OPERATIONS.c.cancel_requested.is_(False))
    for tick in range(round(ARGUMENTS.work_s / TICK_S)):
        progress = {"metadata": f"{ARGUMENTS.id} {tick}".encode()}
        with ENGINE.begin() as connection:
            if connection.execute(sa.update(OPERATIONS).where(mine).values(progress)).rowcount == 0:
                raise Stopped
        time.sleep(TICK_S)


@DATASOURCE.transaction
def commit(name: str) -> None:
    """The effect and the end, in one transaction that DBOS fences."""
    session = DATASOURCE.sql_session()
    running = sa.and_(OPERATIONS.c.name == name, OPERATIONS.c.done.is_(False))
    running = sa.and_(running, OPERATIONS.c.cancel_requested.is_(False))
    if session.execute(sa.update(OPERATIONS).where(running).values(done=True)).rowcount == 0:
        raise Stopped
    session.execute(sa.insert(EFFECTS).values(name=name, replica=ARGUMENTS.id))


@DBOS.workflow()
def run_import(name: str) -> None:
    """One operation."""
    work(name)
    commit(name)


def beat_and_sweep() -> None:
    """Shows signs of life, and resumes the workflows of replicas that fell silent."""
    seen: dict[str, tuple[int, float]] = {}
    while True:
        try:
            sweep(seen)
        except sa.exc.OperationalError as error:
            print("sweep failed", error, file=sys.stderr)
        time.sleep(ARGUMENTS.lease_s / 3)


def sweep(seen: dict[str, tuple[int, float]]) -> None:
    """One round of `beat_and_sweep`."""
    with ENGINE.begin() as connection:
        mine = sa.update(REPLICAS).where(REPLICAS.c.id == ARGUMENTS.id).values(beat=REPLICAS.c.beat + 1)
        if connection.execute(mine).rowcount == 0:
            connection.execute(sa.insert(REPLICAS).values(id=ARGUMENTS.id, beat=0))
    with ENGINE.begin() as connection:
        rows = connection.execute(sa.select(REPLICAS.c.id, REPLICAS.c.beat)).all()
    for replica, beat in rows:
        if replica == ARGUMENTS.id:
            continue
        if replica not in seen or seen[replica][0] != beat:
            seen[replica] = (beat, time.monotonic())
        elif time.monotonic() - seen[replica][1] >= ARGUMENTS.lease_s:
            for workflow in DBOS.list_workflows(status="PENDING", executor_id=replica):
                DBOS.resume_workflow(workflow.workflow_id)
            # Only now, so that a sweeper that dies on the way leaves the rest to another.
            dead = sa.delete(REPLICAS).where(REPLICAS.c.id == replica, REPLICAS.c.beat == beat)
            with ENGINE.begin() as connection:
                connection.execute(dead)


def create(client: DBOSClient, name: str, *, die: bool) -> None:
    """Creates an operation, and dies before the answer if it is told to."""
    row = {"name": name, "metadata": b"", "done": False, "cancel_requested": False, "owner": ""}
    with ENGINE.begin() as connection:
        try:
            with connection.begin_nested():
                connection.execute(sa.insert(ANSWERS).values(name=name))
        except sa.exc.IntegrityError:
            return  # a repeated call: the first one was committed, its answer was lost
        connection.execute(sa.insert(OPERATIONS).values(row))
        options: Any = {
            "workflow_name": run_import.__qualname__,
            "queue_name": "imports",
            "workflow_id": name,
        }
        client.enqueue_in_transaction(connection, options, name)
    if die:
        os.kill(os.getpid(), signal.SIGKILL)


def cancel(name: str) -> None:
    """Ends the operation; its step notices at its next progress."""
    running = sa.and_(OPERATIONS.c.name == name, OPERATIONS.c.done.is_(False))
    with ENGINE.begin() as connection:
        connection.execute(sa.update(OPERATIONS).where(running).values(cancel_requested=True, done=True))
    DBOS.cancel_workflow(name)


def main() -> None:
    """Works until its standard input ends."""
    DBOS.launch()
    DBOS.register_queue("imports", worker_concurrency=1, polling_interval_sec=0.3)
    client = DBOSClient(system_database_url=URL)
    threading.Thread(target=beat_and_sweep, daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        verb, name = line.split()
        match verb:
            case "create" | "create-and-die":
                create(client, name, die=verb == "create-and-die")
            case "cancel":
                cancel(name)
        print(verb, name, flush=True)
    DBOS.destroy()


if __name__ == "__main__":
    main()
