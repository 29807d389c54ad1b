"""The loop that makes jobs go on: looks at each, asks `domain.next_step`, does what it says.

One replica at a time, by a leased row. Every decision is taken on fresh rows under the job's lock, and every
effect outside can be repeated, so that a loop that dies, or a second one that thinks it leads, does no harm.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from visiontune_kit import faults, logs

from visiontune_trainer import ports
from visiontune_trainer.domain.job import Attempt, Job, job_of_attempt
from visiontune_trainer.domain.next_step import (
    Begin,
    End,
    Launch,
    Observation,
    Pause,
    Retry,
    Sight,
    Step,
    Stop,
    Tell,
    Wait,
    after_retryable,
    next_step,
)
from visiontune_trainer.domain.problems import BackendUnavailable, LaunchPostponed, LaunchRefused
from visiontune_trainer.domain.reasons import Reason
from visiontune_trainer.domain.reports import LogLine
from visiontune_trainer.domain.states import State
from visiontune_trainer.ports import UnitOfWork
from visiontune_trainer.use_cases.attempts import hash_of
from visiontune_trainer.use_cases.deps import LOG_KEEPER, RECONCILER, Deps, within
from visiontune_trainer.use_cases.lifecycle import end_attempt
from visiontune_trainer.use_cases.usage import Meter

INTERVAL_S = 0.5
# Jobs on which the loop works at the same time: most of it is waiting for database and backend to answer.
AT_ONCE = 8
_LEASE = "reconcile"
_LEASE_FOR = timedelta(seconds=5)
# A longer pause than this means that nobody listened to the workers.
_BREAK = timedelta(seconds=15)
# A worker that has finished may leave by itself for this long: a big process takes its time to end, and one
# that is stopped takes its Job and its logs with it.
_LEAVE = timedelta(seconds=30)

log = logs.get(__name__)


class Reconciler:
    """The loop and what it remembers: its lease, and since when it has listened without a break."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._lease_until: datetime | None = None
        self._meter = Meter(deps)
        self._since: datetime | None = None
        self._last: datetime | None = None
        self._strangers: dict[str, datetime] = {}  # attempts that the database does not know; since when

    async def run(self) -> None:
        """Runs until cancelled; then stops what must not outlive this program and hands the lease over."""
        try:
            with self._deps.wakeups.listening(RECONCILER) as woken:
                while True:
                    woken.clear()
                    if await self._leads():
                        await self.tick()
                    await within(INTERVAL_S, woken)
        except asyncio.CancelledError:
            await asyncio.shield(self._leave())
            raise

    async def tick(self) -> None:
        """One round over all jobs and workers."""
        since = self._listening_since(self._deps.clock.now())
        # Listed before the rows are read: what is listed and has no current row never will have one.
        listed = await self._listed()
        async with self._deps.unit_of_work() as uow:
            jobs = await uow.jobs.unfinished()
        current = {_attempt_name(job) for job, _ in jobs if job.has_worker}
        due = iter(await self._due(jobs, current | set(listed), since))

        async def work() -> None:
            for job, seen in due:
                await self._reconcile(job, seen, since)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        await self._stop_strays([name for name in listed if name not in current])
        await self._meter.tick()

    async def _due(
        self, jobs: Sequence[tuple[Job, Attempt | None]], busy: set[str], since: datetime
    ) -> list[tuple[Job, Observation]]:
        """Returns the jobs for which there is something to do, with what is seen of their workers.

        The rows may be a moment old: what is due since then is so in the next round too. Launches come first,
        since news can wait. busy: attempts that take up room; those that are to begin are added.
        """
        launches: list[tuple[Job, Observation]] = []
        others: list[tuple[Job, Observation]] = []
        for job, attempt in jobs:
            name = _attempt_name(job)
            try:
                seen = await self._deps.backend.observe(name) if job.has_worker else Observation(Sight.ABSENT)
                step = next_step(job, attempt, seen, self._deps.clock.now(), since, self._deps.policy)
            except Exception as error:
                log.exception("job_not_reconciled", job=job.name, error=repr(error))
                continue
            if isinstance(step, Wait) or (isinstance(step, Begin) and not self._has_room(busy)):
                continue
            if isinstance(step, Begin):
                busy.add(f"{job.name}/attempts/{job.attempt + 1}")
            (launches if isinstance(step, Begin | Launch) else others).append((job, seen))
        return launches + others

    async def _reconcile(self, job: Job, seen: Observation, since: datetime) -> None:
        """Brings one job a step further; after a failure the next round tries again."""
        try:
            effect = await self._decide(job, seen, since)
            if isinstance(effect, Stop):
                await self._deps.backend.stop(_attempt_name(job))
            if isinstance(effect, ports.Launch):
                faults.point("launch.before")
                await self._launch(effect)
                faults.point("launch.after")
        except Exception as error:
            log.exception("job_not_reconciled", job=job.name, error=repr(error))

    async def _decide(self, job: Job, seen: Observation, since: datetime) -> ports.Launch | Stop | None:
        """Decides on the job as it is now, in the transaction that records the decision."""
        deps = self._deps
        now = deps.clock.now()
        async with deps.unit_of_work() as uow:
            fresh = await uow.jobs.lock(job.name)
            if fresh is None or (fresh.attempt, fresh.has_worker) != (job.attempt, job.has_worker):
                return None  # What was seen is about another attempt; the next round looks again.
            attempt = await uow.jobs.get_attempt(fresh.name, fresh.attempt)
            step = next_step(fresh, attempt, seen, now, since, deps.policy)
            if isinstance(step, Wait):
                return None
            if isinstance(step, Stop):
                return step
            launch = await self._record(uow, fresh, attempt, step, seen, now)
            await uow.commit()
        deps.wakeups.notify(job.name, LOG_KEEPER)
        return launch

    async def _record(
        self,
        uow: UnitOfWork,
        job: Job,
        attempt: Attempt | None,
        step: Step,
        seen: Observation,
        now: datetime,
    ) -> ports.Launch | None:
        """Writes a decision down; returns the launch that has to follow the commit, if any."""
        if isinstance(step, Begin):
            return await self._begin(uow, job, now)
        if isinstance(step, Launch) and attempt is not None:
            # Only the token's hash was kept, so a launch that is repeated takes a new one.
            token = self._deps.new_token()
            await uow.jobs.save_attempt(replace(attempt, token_hash=hash_of(token)))
            return _launch_of(job, attempt, token)
        if isinstance(step, Tell) and attempt is not None:
            await _tell(uow, job, attempt, step.waiting, now)
        if isinstance(step, Retry | Pause | End):
            job = await _keep_output(uow, job, seen, now)
            job = await end_attempt(uow, job, attempt, step, now)
            log.info("attempt_ended", job=job.name, attempt=job.attempt, state=job.state, reason=job.reason)
        return None

    async def _begin(self, uow: UnitOfWork, job: Job, now: datetime) -> ports.Launch:
        number, token = job.attempt + 1, self._deps.new_token()
        job, event = job.moved(
            State.STARTING, Reason.ATTEMPT_LAUNCHED, f"Starts attempt {number}.", now, attempt=number
        )
        attempt = Attempt(job.name, number, hash_of(token), created_at=now, lines_before=job.log_lines)
        await uow.jobs.save(job)
        await uow.jobs.add_attempt(attempt)
        await uow.records.add_event(event)
        return _launch_of(job, attempt, token)

    async def _launch(self, launch: ports.Launch) -> None:
        try:
            await self._deps.backend.launch(launch)
        except BackendUnavailable as error:
            log.warning("launch_postponed", attempt=launch.attempt, error=error.message)
        except LaunchPostponed as error:
            log.info("launch_postponed", attempt=launch.attempt, error=error.message)
            await self._postpone(launch.attempt, error.message)
        except LaunchRefused as error:
            await self._give_up(launch.attempt, error.message)

    async def _give_up(self, attempt_name: str, message: str) -> None:
        """Records that the backend will not start this worker."""
        now = self._deps.clock.now()
        async with self._deps.unit_of_work() as uow:
            job, attempt = await _current(uow, attempt_name)
            if job is None:
                return
            step = after_retryable(job, Reason.LAUNCH_REFUSED, message, now, self._deps.policy)
            await end_attempt(uow, job, attempt, step, now)
            await uow.commit()
        self._deps.wakeups.notify(job.name)

    async def _postpone(self, attempt_name: str, message: str) -> None:
        """Tells the user why the backend cannot start this worker yet."""
        now = self._deps.clock.now()
        async with self._deps.unit_of_work() as uow:
            job, attempt = await _current(uow, attempt_name)
            if job is None or attempt is None or attempt.waiting == message:
                return
            await _tell(uow, job, attempt, message, now)
            await uow.commit()
        self._deps.wakeups.notify(job.name)

    async def _stop_strays(self, names: Sequence[str]) -> None:
        """Ends the workers, and clears what is left of them, that no current attempt has a claim to."""
        now = self._deps.clock.now()
        known_before, self._strangers = self._strangers, {}
        for name in names:
            async with self._deps.unit_of_work() as uow:
                attempt = await uow.jobs.get_attempt(*job_of_attempt(name))
            if attempt is None:
                if name not in known_before:
                    log.warning("stranger_seen", attempt=name)
                self._strangers[name] = since = known_before.get(name, now)
                if now - since < self._deps.backend.patience_with_strangers:
                    continue
            elif attempt.finished_state is not None and attempt.ended_at is not None:
                seen = await self._deps.backend.observe(name)
                if seen.sight is Sight.ALIVE and now - attempt.ended_at < _LEAVE:
                    continue
            # It may have ended since it was listed: what is left to be looked at is not to be cleared away.
            if name in await self._listed():
                await self._deps.backend.stop(name)

    async def _listed(self) -> Sequence[str]:
        try:
            return await self._deps.backend.attempts()
        except BackendUnavailable as error:
            log.warning("backend_unavailable", error=error.message)
            return ()

    def _has_room(self, busy: Collection[str]) -> bool:
        slots = self._deps.backend.slots
        return slots is None or len(busy) < slots

    def _listening_since(self, now: datetime) -> datetime:
        if self._since is None or self._last is None or now - self._last > _BREAK:
            self._since = now
        self._last = now
        return self._since

    async def _leads(self) -> bool:
        now = self._deps.clock.now()
        if self._lease_until is not None and now < self._lease_until - _LEASE_FOR / 2:
            return True
        until = now + _LEASE_FOR
        async with self._deps.unit_of_work() as uow:
            taken = await uow.leases.take(_LEASE, self._deps.replica, now, until)
            await uow.commit()
        self._lease_until = until if taken else None
        return taken

    async def _leave(self) -> None:
        try:
            # Also by one that does not lead yet: it may end before the lease of the one that died has.
            await self._deps.backend.close()
            if self._lease_until is not None:
                async with self._deps.unit_of_work() as uow:
                    await uow.leases.release(_LEASE, self._deps.replica)
                    await uow.commit()
        finally:
            self._deps.dismissed.set()


def _attempt_name(job: Job) -> str:
    return f"{job.name}/attempts/{job.attempt}"


def _launch_of(job: Job, attempt: Attempt, token: str) -> ports.Launch:
    limit = job.max_duration
    return ports.Launch(
        attempt=attempt.name,
        token=token,
        traceparent=job.traceparent,
        uid=job.uid,
        spec_digest=job.spec_digest,
        resources=job.resolved.resources,
        remaining_s=None if limit is None else max(0.0, limit.total_seconds() - job.ran_s),
    )


async def _current(uow: UnitOfWork, attempt_name: str) -> tuple[Job | None, Attempt | None]:
    """Returns job, locked, and attempt; (None, None) when it is not the current one any more."""
    job_name, number = job_of_attempt(attempt_name)
    job = await uow.jobs.lock(job_name)
    if job is None or job.attempt != number or not job.has_worker:
        return None, None
    return job, await uow.jobs.get_attempt(job_name, number)


async def _tell(uow: UnitOfWork, job: Job, attempt: Attempt, waiting: str, now: datetime) -> None:
    """Shows the user why the worker has not started."""
    job, event = job.updated_with(reason=Reason.WAITING, message=waiting).noted(Reason.WAITING, waiting, now)
    await uow.jobs.save(job)
    await uow.jobs.save_attempt(replace(attempt, waiting=waiting, waiting_since=now))
    await uow.records.add_event(event)


async def _keep_output(uow: UnitOfWork, job: Job, seen: Observation, now: datetime) -> Job:
    """Adds the last words of a worker that ended badly to the job's log."""
    if not seen.log_tail:
        return job
    job = replace(job, change=job.change + 1, log_lines=job.log_lines + 1)
    text = f"Last output of the worker:\n{seen.log_tail}"
    line = LogLine(job.name, now, "error", text, job.attempt, sequence=job.log_lines, change=job.change)
    await uow.records.add_log_lines([line])
    return job
