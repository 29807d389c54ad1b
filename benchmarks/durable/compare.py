"""Durable operations by leased rows of our own, side by side with DBOS Transact.

    python benchmarks/durable/compare.py --dbos-python /path/to/venv/bin/python

The other Python needs `dbos==3.4.0`; without it only the leased rows run. Twenty rounds take half an hour
on two cores.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.durable.scenarios import HERE, LEASES, SCENARIOS, Engine, Lane, Outcome
from tests.support.databases import Postgres


async def compare(
    engines: list[Engine], server: Postgres, folder: Path, arguments: argparse.Namespace
) -> None:
    """Runs each engine on each database at the same time, and prints a row a scenario."""
    seed, rounds = arguments.seed, arguments.rounds
    print(f"seed {seed}, {rounds} rounds\n")
    print("| scenario | engine | database | rounds | tries | twice | lost | stuck | delay: median | most |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    lanes = [(engine, database) for engine in engines for database in ("SQLite", "PostgreSQL")]
    for scenario in arguments.only or SCENARIOS:
        jobs = [run(scenario, *lane, server, folder, rounds, seed) for lane in lanes]
        for (engine, database), outcome in zip(lanes, await asyncio.gather(*jobs), strict=True):
            print(row(outcome, engine, database), flush=True)


async def run(
    scenario: str, engine: Engine, database: str, server: Postgres, folder: Path, rounds: int, seed: int
) -> Outcome:
    """Runs one scenario on a database of its own."""
    file = folder / f"{scenario}-{engine.program.stem}.db"
    url = f"sqlite+aiosqlite:///{file}"
    if database == "PostgreSQL":
        url = server.make_database(f"{scenario}_{engine.program.stem}")
    lane = Lane(engine, url, random.Random(seed))  # noqa: S311 - moments, not secrets
    return await SCENARIOS[scenario](lane, rounds)


def row(outcome: Outcome, engine: Engine, database: str) -> str:
    """Returns a row of the table."""
    counts = f"{outcome.rounds} | {outcome.tries} | {outcome.double} | {outcome.lost} | {outcome.stuck}"
    median_s = statistics.median(outcome.delays_s) if outcome.delays_s else float("nan")
    most_s = max(outcome.delays_s, default=float("nan"))
    return (
        f"| {outcome.scenario} | {engine.name} | {database} | {counts} | {median_s:.1f} s | {most_s:.1f} s |"
    )


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dbos-python", help="a Python that has dbos")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--only", nargs="*", choices=SCENARIOS, help="scenarios; all when left out")
    arguments = parser.parse_args()
    engines = [LEASES]
    if arguments.dbos_python:
        engines.append(Engine("DBOS 3.4", HERE / "replica_dbos.py", arguments.dbos_python))
    with tempfile.TemporaryDirectory() as folder, closing(Postgres()) as server:
        asyncio.run(compare(engines, server, Path(folder), arguments))


if __name__ == "__main__":
    main()
