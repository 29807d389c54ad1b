"""Counts accelerator hours from what the backend sees of machines, and sums them up for users."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from visiontune_kit.errors import InvalidArgument, Violation

from visiontune_trainer.domain.problems import BackendUnavailable
from visiontune_trainer.domain.usage import MachineTime, Sum, sums_of
from visiontune_trainer.use_cases.deps import Deps

_LOOK_FOR_LOST_EVERY = timedelta(seconds=30)


class SpanBackwards(InvalidArgument):
    """A span ends before it starts."""

    def __init__(self) -> None:
        message = "end_time is not after start_time."
        super().__init__(message, violations=[Violation("end_time", message, "SpanBackwards")])


class Meter:
    """Writes down what changed since it last looked; part of the reconcile loop, so one replica does."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._written: dict[str, MachineTime] = {}
        self._looked_at: datetime | None = None

    async def tick(self) -> None:
        """One look at all machines."""
        try:
            seen = {time.machine: time for time in self._deps.backend.machine_times()}
        except BackendUnavailable:
            return
        changed = [time for machine, time in seen.items() if self._written.get(machine) != time]
        if changed:
            await self._write(changed)
        self._written = seen
        now = self._deps.clock.now()
        if self._looked_at is None or now - self._looked_at >= _LOOK_FOR_LOST_EVERY:
            self._looked_at = now
            await self._end_lost(seen.keys())

    async def _write(self, times: list[MachineTime]) -> None:
        async with self._deps.unit_of_work() as uow:
            await uow.usage.put(*times)
            await uow.commit()

    async def _end_lost(self, seen: Collection[str]) -> None:
        """Ends what nobody sees any more: the last word of its worker is the best guess."""
        async with self._deps.unit_of_work() as uow:
            lost = [time for time in await uow.usage.running() if time.machine not in seen]
            for time in lost:
                attempt = await uow.jobs.get_attempt(time.job, time.attempt)
                heard_at = attempt.heartbeat_at or attempt.ended_at if attempt else None
                ended_at = max(heard_at or time.started_at, time.started_at)
                await uow.usage.put(replace(time, ended_at=ended_at, is_estimated=True))
            if lost:
                await uow.commit()


async def usage_of(
    project: str, job: str, start: datetime | None, end: datetime | None, deps: Deps
) -> list[Sum]:
    """Sums of a project, or of one of its jobs, deleted ones included. Raises SpanBackwards."""
    now = deps.clock.now()
    end = min(end or now, now)
    start = start or datetime.min.replace(tzinfo=now.tzinfo)
    if end < start:
        raise SpanBackwards
    async with deps.unit_of_work() as uow:
        times = await uow.usage.between(project, job, start, end)
    return sums_of(times, start, end)
