"""One replica of a service whose operations are the kit's leased rows; obeys its standard input."""

import argparse
import asyncio
import os
import signal
import sys

from google.protobuf import wrappers_pb2
from sqlalchemy import Column, MetaData, String, Table, insert
from sqlalchemy.exc import IntegrityError
from visiontune_kit import operations, replicas
from visiontune_kit.database import Database

METADATA = MetaData()
operations.table(METADATA)
ANSWERS = Table("answers", METADATA, Column("name", String(200), primary_key=True))
EFFECTS = Table("effects", METADATA, Column("name", String(200)), Column("replica", String(40)))
TRIES = Table("tries", METADATA, Column("name", String(200)), Column("replica", String(40)))
TICK_S = 0.1


class Replica:
    """Runs imports that take `work_s` each, reporting progress every tenth of a second."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.id = arguments.id
        self.work_s = arguments.work_s
        self.database = Database.open(arguments.url)
        self.operations = operations.Operations(
            self.database, {"import": self.handle}, lease_s=arguments.lease_s
        )

    async def handle(self, run: operations.Run) -> None:
        """Works, and commits the effect with the end."""
        async with self.database.session() as session:
            await session.execute(insert(TRIES).values(name=run.name, replica=self.id))
            await session.commit()
        for tick in range(round(self.work_s / TICK_S)):
            await run.progress(wrappers_pb2.StringValue(value=f"{self.id} {tick}"))
            await asyncio.sleep(TICK_S)
        async with self.database.session() as session:
            await session.execute(insert(EFFECTS).values(name=run.name, replica=self.id))
            await run.finish(session, wrappers_pb2.StringValue(value=self.id))
            await session.commit()

    async def create(self, name: str, *, die: bool) -> None:
        """Creates an operation, and dies before the answer if it is told to."""
        async with self.database.session() as session:
            await self.operations.create(
                session, name=name, kind="import", payload=b"", metadata=wrappers_pb2.StringValue()
            )
            try:
                async with session.begin_nested():
                    await session.execute(insert(ANSWERS).values(name=name))
            except IntegrityError:
                pass  # a repeated call: the first one was committed, its answer was lost
            await session.commit()
        if die:
            os.kill(os.getpid(), signal.SIGKILL)

    async def obey(self, line: str) -> None:
        """Does what a line says, and repeats it as the answer."""
        verb, name = line.split()
        match verb:
            case "create" | "create-and-die":
                await self.create(name, die=verb == "create-and-die")
            case "cancel":
                await self.operations.cancel(name)
        print(verb, name, flush=True)


async def main() -> None:
    """Works until its standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--id", required=True)
    parser.add_argument("--lease-s", type=float, required=True)
    parser.add_argument("--work-s", type=float, required=True)
    parser.add_argument("--machine", required=True)
    arguments = parser.parse_args()
    replicas._place = lambda: arguments.machine  # type: ignore[assignment]  # noqa: SLF001 - as if it ran there
    replica = Replica(arguments)
    async with replica.database.engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    working = asyncio.create_task(replica.operations.run())
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        await replica.obey(line)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
