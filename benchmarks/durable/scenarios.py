"""What can happen to the servers that run operations, done to real processes on a real database."""

import asyncio
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

HERE = Path(__file__).parent
LEASE_S = 2.0
WORK_S = 1.0
STUCK_AFTER_S = 60.0


@dataclass(frozen=True)
class Engine:
    """A way to make operations durable: the program of one replica, and the Python that has its libraries."""

    name: str
    program: Path
    python: str


LEASES = Engine("leased rows", HERE / "replica_leases.py", sys.executable)


@dataclass
class Outcome:
    """What a scenario found. An operation is stuck when it has not ended after 60 s."""

    scenario: str
    rounds: int = 0
    double: int = 0  # effects beyond the first
    lost: int = 0  # operations that were promised and have no effect, or not the one they should have
    stuck: int = 0
    tries: int = 0  # beginnings of the work, all rounds together
    delays_s: list[float] = field(default_factory=list)  # from the fault to the end, less the work itself

    def end(self, effects: int, delay_s: float | None, *, expected: int = 1) -> None:
        """Adds a round."""
        self.rounds += 1
        self.double += max(effects - expected, 0)
        self.lost += max(expected - effects, 0)
        if delay_s is None:
            self.stuck += 1
        else:
            self.delays_s.append(delay_s)

    @property
    def clean(self) -> bool:
        """Nothing twice, nothing lost, nothing stuck."""
        return self.double == self.lost == self.stuck == 0


class Replica:
    """One process of an engine, and the power to kill it."""

    def __init__(self, engine: Engine, url: str, name: str, machine: str, work_s: float) -> None:
        self.name = name
        self._command = [engine.python, str(engine.program), "--url", url, "--id", name]
        self._command += ["--lease-s", str(LEASE_S), "--work-s", str(work_s), "--machine", machine]

    async def start(self) -> Self:
        """Starts, or starts again under the same name; returns once it takes work."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=2**20,
        )
        await self._read("ready")
        return self

    async def tell(self, verb: str, name: str) -> bool:
        """Gives an order; False when the replica died before it answered."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{verb} {name}\n".encode())
            await self._process.stdin.drain()
        except ConnectionError:
            return False
        return await self._read(f"{verb} {name}")

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal; waits for the death of a killed process."""
        if self._process.returncode is None:
            self._process.send_signal(number)
        if number is signal.SIGKILL:
            await self._process.wait()

    async def _read(self, expected: str) -> bool:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            if line.decode().strip() == expected:
                return True
        return False


class Lane:
    """One engine on one database, with the replicas that run there."""

    def __init__(self, engine: Engine, url: str, rng: random.Random) -> None:
        self.engine = engine
        self.url = url
        self.rng = rng
        # Not the kit's Database: its readers would wait for a frozen writer's lock.
        self._engine = create_async_engine(url)
        self._replicas: list[Replica] = []
        self._count = 0

    async def replica(self, machine: str = "", work_s: float = WORK_S) -> Replica:
        """Starts a replica under a name that was never used before, as if on a machine of its own."""
        name = f"r{len(self._replicas)}"
        replica = Replica(self.engine, self.url, name, machine or name, work_s)
        self._replicas.append(replica)
        return await replica.start()

    def new_name(self) -> str:
        """Returns the name of an operation to create."""
        self._count += 1
        return f"projects/p/datasets/d/operations/o{self._count}"

    async def close(self) -> None:
        """Kills every replica."""
        for replica in self._replicas:
            await replica.kill()
        self._replicas = []
        await self._engine.dispose()

    async def ended(self, name: str, since: float, work_s: float = WORK_S) -> float | None:
        """Waits for the end; returns the delay since a moment, less the work, or None when it is stuck."""
        while not await self._ask("SELECT done FROM operations WHERE name = :name", name):
            if time.monotonic() - since > STUCK_AFTER_S:
                return None
            await asyncio.sleep(0.05)
        return max(time.monotonic() - since - work_s, 0)

    async def effects(self, name: str) -> int:
        """How often the operation took effect."""
        return int(str(await self._ask("SELECT count(*) FROM effects WHERE name = :name", name)))

    async def tries(self) -> int:
        """How often work was begun, all operations together."""
        return int(str(await self._ask("SELECT count(*) FROM tries WHERE name <> :name", "")))

    async def holder(self, name: str, among: list[Replica]) -> Replica:
        """Returns the replica that reported progress last, once there is one."""
        while True:
            progress = await self._ask("SELECT metadata FROM operations WHERE name = :name", name)
            for replica in among:
                if f"{replica.name} ".encode() in bytes(progress or b""):
                    return replica
            await asyncio.sleep(0.02)

    async def _ask(self, query: str, name: str) -> bytes | int | None:
        async with self._engine.connect() as connection:
            return (await connection.execute(text(query), {"name": name})).scalar()


async def restarted(lane: Lane, rounds: int) -> Outcome:
    """The only replica is killed at any moment of an operation, and started again under its name."""
    outcome = Outcome("kill -9, same replica back")
    replica = await lane.replica()
    for _ in range(rounds):
        name = lane.new_name()
        await replica.tell("create", name)
        await asyncio.sleep(lane.rng.uniform(0, WORK_S * 1.4))
        await replica.kill()
        killed_at = time.monotonic()
        await replica.start()
        delay_s = await lane.ended(name, killed_at)
        outcome.end(await lane.effects(name), delay_s)
    outcome.tries = await lane.tries()
    await lane.close()
    return outcome


async def replaced(lane: Lane, rounds: int) -> Outcome:
    """Of two replicas the one at work is killed and never comes back; a stranger takes its place."""
    outcome = Outcome("kill -9, replica gone for good")
    replicas = [await lane.replica(), await lane.replica()]
    for _ in range(rounds):
        name = lane.new_name()
        await replicas[0].tell("create", name)
        victim = await lane.holder(name, replicas)
        await asyncio.sleep(lane.rng.uniform(0, WORK_S))
        await victim.kill()
        killed_at = time.monotonic()
        delay_s = await lane.ended(name, killed_at)
        outcome.end(await lane.effects(name), delay_s)
        replicas = [next(replica for replica in replicas if replica is not victim), await lane.replica()]
    outcome.tries = await lane.tries()
    await lane.close()
    return outcome


async def frozen(lane: Lane, rounds: int) -> Outcome:
    """The replica at work is stopped for longer than its lease, then goes on as if nothing had happened.

    One that is stopped within a transaction keeps its locks: then the end may come only after it goes on.
    """
    outcome = Outcome("SIGSTOP past the lease, SIGCONT")
    replicas = [await lane.replica(), await lane.replica()]
    for _ in range(rounds):
        name = lane.new_name()
        await replicas[0].tell("create", name)
        zombie = await lane.holder(name, replicas)
        await asyncio.sleep(lane.rng.uniform(0, WORK_S))
        await zombie.kill(signal.SIGSTOP)
        stopped_at = time.monotonic()
        try:
            async with asyncio.timeout(LEASE_S * 2 + WORK_S + 1):
                await lane.ended(name, stopped_at)
        except TimeoutError:
            pass
        await zombie.kill(signal.SIGCONT)
        delay_s = await lane.ended(name, stopped_at)
        await asyncio.sleep(WORK_S + 0.3)  # time for the zombie to do harm
        outcome.end(await lane.effects(name), delay_s)
    outcome.tries = await lane.tries()
    await lane.close()
    return outcome


async def crowded(lane: Lane, rounds: int) -> Outcome:
    """Of five replicas the one at work is killed, and four notice it: one of them should begin anew."""
    outcome = Outcome("kill -9 of one of five replicas")
    replicas = [await lane.replica() for _ in range(5)]
    for _ in range(rounds):
        name = lane.new_name()
        await replicas[0].tell("create", name)
        victim = await lane.holder(name, replicas)
        await asyncio.sleep(lane.rng.uniform(0, WORK_S))
        await victim.kill()
        killed_at = time.monotonic()
        delay_s = await lane.ended(name, killed_at)
        outcome.end(await lane.effects(name), delay_s)
        await victim.start()
    outcome.tries = await lane.tries()
    await lane.close()
    return outcome


async def cancelled(lane: Lane, rounds: int) -> Outcome:
    """An operation is cancelled while it works."""
    outcome = Outcome("cancel while it works")
    replica = await lane.replica()
    for _ in range(rounds):
        name = lane.new_name()
        await replica.tell("create", name)
        await lane.holder(name, [replica])
        await asyncio.sleep(lane.rng.uniform(0, WORK_S * 0.6))
        asked_at = time.monotonic()
        await replica.tell("cancel", name)
        delay_s = await lane.ended(name, asked_at, work_s=0)
        await asyncio.sleep(WORK_S)
        outcome.end(await lane.effects(name), delay_s, expected=0)
    outcome.tries = await lane.tries()
    await lane.close()
    return outcome


async def unanswered(lane: Lane, rounds: int) -> Outcome:
    """The server dies between the commit that created the operation and its answer; the caller repeats."""
    outcome = Outcome("kill -9 between commit and answer")
    replica = await lane.replica()
    for _ in range(rounds):
        name = lane.new_name()
        assert not await replica.tell("create-and-die", name)
        died_at = time.monotonic()
        await replica.kill()
        await replica.start()
        await replica.tell("create", name)
        delay_s = await lane.ended(name, died_at)
        outcome.end(await lane.effects(name), delay_s)
    outcome.tries = await lane.tries()
    await lane.close()
    return outcome


async def shared(lane: Lane, rounds: int) -> Outcome:
    """Two replicas share many operations that take no time; the delay is that of all of them together."""
    outcome = Outcome("two replicas, operations at once")
    replicas = [await lane.replica(work_s=0), await lane.replica(work_s=0)]
    names = [lane.new_name() for _ in range(rounds)]
    begun_at = time.monotonic()
    for number, name in enumerate(names):
        await replicas[number % 2].tell("create", name)
    for name in names:
        delay_s = await lane.ended(name, begun_at, work_s=0)
        outcome.end(await lane.effects(name), delay_s)
    outcome.delays_s = outcome.delays_s[-1:]
    outcome.tries = await lane.tries()
    await lane.close()
    return outcome


async def stormy(lane: Lane, rounds: int) -> Outcome:
    """Three replicas, callers that repeat unanswered calls, and a kill or a freeze at any moment."""
    outcome = Outcome("kills and freezes at random")
    replicas = [await lane.replica(machine=machine) for machine in ("m1", "m1", "m2")]
    over = asyncio.Event()
    calling = asyncio.create_task(_call(lane, replicas, over))
    thaws: dict[Replica, asyncio.Task[None]] = {}
    for _ in range(rounds):
        await asyncio.sleep(lane.rng.uniform(0, 0.8))
        number = lane.rng.randrange(len(replicas))
        victim = replicas[number]
        if lane.rng.random() < 0.3:
            await victim.kill(signal.SIGSTOP)
            thaws[victim] = asyncio.create_task(_thaw(victim, LEASE_S * lane.rng.uniform(0.5, 2)))
        else:
            await victim.kill()
            replicas[number] = await lane.replica(machine=lane.rng.choice(("m1", "m2")))
    over.set()
    names = await calling
    await asyncio.gather(*thaws.values())
    calmed_at = time.monotonic()
    for name in names:
        delay_s = await lane.ended(name, calmed_at, work_s=0)
        outcome.end(await lane.effects(name), delay_s)
    outcome.tries = await lane.tries()
    await lane.close()
    return outcome


async def _call(lane: Lane, replicas: list[Replica], over: asyncio.Event) -> list[str]:
    """Creates operations until the storm is over; repeats a call, elsewhere, until it is answered."""
    names: list[str] = []
    while not over.is_set():
        names.append(lane.new_name())
        answered = False
        while not answered:
            try:
                async with asyncio.timeout(2):
                    answered = await lane.rng.choice(replicas).tell("create", names[-1])
            except TimeoutError:
                continue  # frozen; another one may answer
        await asyncio.sleep(lane.rng.uniform(0, 0.5))
    return names


async def _thaw(replica: Replica, delay_s: float) -> None:
    await asyncio.sleep(delay_s)
    await replica.kill(signal.SIGCONT)


SCENARIOS: dict[str, Callable[[Lane, int], Awaitable[Outcome]]] = {
    scenario.__name__: scenario
    for scenario in (restarted, replaced, crowded, frozen, cancelled, unanswered, shared, stormy)
}
