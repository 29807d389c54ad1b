"""Whatever happens, in whatever order: the real loop, use cases, database and backend, a cluster in memory.

Controllers, nodes, workers and users act at random; calls of the API server fail or lose their answer, the
trainer dies between any two of them, and watches lag. No job takes an illegal step, none is lost, and of two
attempts one at most may speak.

`make soak` runs 100,000 steps; VISIONTUNE_SOAK_STEPS says how many.
"""

import asyncio
import contextlib
import itertools
import os
import tempfile
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from visiontune_kit.database import Database
from visiontune_trainer.adapters import tables
from visiontune_trainer.adapters.database import UnitOfWork
from visiontune_trainer.adapters.hub_configs import HubConfigs
from visiontune_trainer.adapters.model_folders import ModelFolders
from visiontune_trainer.compute.kubernetes import backend as backend_module
from visiontune_trainer.compute.kubernetes import seeing
from visiontune_trainer.compute.kubernetes.backend import KubernetesBackend
from visiontune_trainer.compute.kubernetes.manifests import JOB_NAME_LABEL, TRAINING_JOB
from visiontune_trainer.compute.kubernetes.watching import Watcher
from visiontune_trainer.domain.job import Job
from visiontune_trainer.domain.next_step import Policy
from visiontune_trainer.domain.problems import AttemptClaimed, JobBeingCancelled, JobEnded, StaleAttempt
from visiontune_trainer.domain.reports import Order, Report
from visiontune_trainer.domain.states import ALLOWED, AT_REST, FINAL, State
from visiontune_trainer.use_cases import attempts, jobs, pauses, reconcile
from visiontune_trainer.use_cases.deps import Deps
from visiontune_trainer.use_cases.reconcile import Reconciler

from tests.support import databases
from tests.support.fake_kubernetes import Answered, Cluster, FakeApi, Fault
from tests.support.kubernetes_values import CHOICES, PLACES
from tests.support.trainer_values import make_job, make_spec

SOAK_STEPS = int(os.environ.get("VISIONTUNE_SOAK_STEPS", "0"))
STEPS = 50
MOST_JOBS = 3
MAX_ATTEMPTS = 3
CODES = st.sampled_from([0, 1, 64, 65, 75, 76, 78, 137, 143])
PODS = st.integers(0, 7)  # which of those that are there


class Died(BaseException):
    """The trainer's process is gone."""


@dataclass
class MortalApi(FakeApi):
    """Dies at one of its calls: before it, or after it had its effect."""

    cluster: Cluster
    calls_left: int | None = None
    does_last: bool = False
    namespace: str = "visiontune-jobs"
    is_dead: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        super().__init__(self.cluster)

    def _call(self, verb: str, kind: str, name: str = "", body: Any = None, selector: str = "") -> Any:
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left < 0:
                if self.does_last and not self.is_dead:
                    with contextlib.suppress(Answered):
                        self.cluster.call(verb, kind, name, body, selector)
                self.is_dead = True
                raise Died
        return super()._call(verb, kind, name, body, selector)


class SteppedBackend(KubernetesBackend):
    """Its watches move when the test says so, not from threads."""

    def _watch(self) -> None:
        if self._watchers:
            return
        self._watchers = [
            Watcher(self._connect(), "jobs", self.jobs, self.selector),
            Watcher(self._connect(), "pods", self.pods, self.selector),
        ]


class ClusterClock:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def now(self) -> Any:
        return self._cluster.now


class NoManifest:
    async def read_manifest(self, name: str, ttl: timedelta) -> bytes:
        return b""


class LoudLog:
    """The loop swallows what it did not expect; here that is a failure."""

    def exception(self, event: str, **fields: Any) -> None:
        raise AssertionError(f"{event}: {fields}")

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


@pytest.fixture(scope="module", autouse=True)
def world() -> Any:
    """One database and one event loop for all that happens."""
    before = reconcile.log, backend_module._ASK_AGAIN_S, reconcile.AT_ONCE
    reconcile.log, backend_module._ASK_AGAIN_S = LoudLog(), 0.0
    reconcile.AT_ONCE = 1  # else threads decide which call comes first
    with tempfile.TemporaryDirectory(prefix="visiontune-orders-") as folder, asyncio.Runner() as runner:
        database = Database.open(databases.url_in(Path(folder), "trainer"))

        async def create() -> None:
            async with database.engine.begin() as connection:
                await connection.run_sync(tables.METADATA.create_all)

        runner.run(create())
        World.runner, World.database = runner, database
        yield
        runner.run(database.close())
    reconcile.log, backend_module._ASK_AGAIN_S, reconcile.AT_ONCE = before


class World:
    runner: asyncio.Runner
    database: Database


class AnyOrder(RuleBasedStateMachine):
    """See the module."""

    @initialize()
    def begin(self) -> None:
        self.cluster = Cluster()
        self.speakers: dict[str, str] = {}  # pod that has claimed -> attempt
        self.names: list[str] = []
        self.tokens = 0
        self.run_sync(self.empty())
        self.restart()

    async def empty(self) -> None:
        async with World.database.engine.begin() as connection:
            for table in reversed(tables.METADATA.sorted_tables):
                await connection.execute(table.delete())

    def run_sync(self, work: Any) -> Any:
        return World.runner.run(work)

    def restart(self, calls_left: int | None = None, does_last: bool = False) -> None:
        """A trainer starts; it knows nothing but the database."""
        api = MortalApi(self.cluster, calls_left, does_last)
        backend = SteppedBackend(lambda: api, PLACES, CHOICES, ClusterClock(self.cluster))  # type: ignore[arg-type,return-value]  # the double
        backend._watch()
        self.backend = backend
        self.deps = Deps(
            model_folders=ModelFolders(()),
            hub_configs=HubConfigs(enabled=False),
            unit_of_work=lambda: UnitOfWork(World.database),
            storage=None,  # type: ignore[arg-type]  # no artifacts here
            datasets=NoManifest(),  # type: ignore[arg-type]  # all that a claim asks
            previewer=None,  # type: ignore[arg-type]  # nobody asks
            backend=backend,
            clock=ClusterClock(self.cluster),
            replica="r",
            new_token=self.new_token,
            policy=Policy(heartbeat_timeout=timedelta(seconds=60)),
        )
        self.reconciler = Reconciler(self.deps)

    def new_token(self) -> str:
        self.tokens += 1
        return f"vtw_{self.tokens}"

    # Users.

    @precondition(lambda self: len(self.names) < MOST_JOBS)
    @rule(nodes=st.integers(1, 2))
    def create(self, nodes: int) -> None:
        name = f"projects/default/trainingJobs/job-{len(self.names)}"
        resources = {
            "accelerator": "nvidia-l4",
            "accelerator_count": 1,
            "nodes": nodes,
            "max_attempts": MAX_ATTEMPTS,
        }
        self.run_sync(self.add(make_job(name=name, uid=name, spec=make_spec(resources=resources))))
        self.names.append(name)

    async def add(self, job: Job) -> None:
        async with UnitOfWork(World.database) as uow:
            await uow.jobs.add(replace(job, created_at=self.cluster.now))
            await uow.commit()

    @precondition(lambda self: self.names)
    @rule(which=PODS)
    def cancel(self, which: int) -> None:
        with contextlib.suppress(JobEnded):
            self.run_sync(jobs.cancel_job(self.names[which % len(self.names)], self.deps))

    @precondition(lambda self: self.names)
    @rule(which=PODS)
    def pause(self, which: int) -> None:
        with contextlib.suppress(JobEnded, JobBeingCancelled):
            self.run_sync(pauses.pause_job(self.names[which % len(self.names)], self.deps))

    @precondition(lambda self: self.names)
    @rule(which=PODS)
    def resume(self, which: int) -> None:
        with contextlib.suppress(JobEnded, JobBeingCancelled):
            self.run_sync(pauses.resume_job(self.names[which % len(self.names)], self.deps))

    # The trainer.

    @rule(times=st.integers(1, 3))
    def tick(self, times: int) -> None:
        for _ in range(times):
            self.run_sync(self.reconciler.tick())

    @rule(calls=st.integers(0, 4), does_last=st.booleans())
    def die_while_ticking(self, calls: int, does_last: bool) -> None:
        self.restart(calls, does_last)
        try:
            for watcher in self.backend._watchers:
                watcher.step()
            for _ in range(3):
                self.run_sync(self.reconciler.tick())
        except Died:
            pass
        self.restart()

    @rule(which=st.integers(0, 1))
    def watch(self, which: int) -> None:
        self.backend._watchers[which].step()

    @rule()
    def watch_all(self) -> None:
        for watcher in self.backend._watchers:
            watcher.step()

    # The API server, and time.

    @rule(
        verb=st.sampled_from(["create", "get", "list", "delete", "watch"]),
        code=st.sampled_from([0, 429, 500]),
        does_it=st.booleans(),
    )
    def fail(self, verb: str, code: int, does_it: bool) -> None:
        self.cluster.faults.append(Fault(verb, code, does_it=does_it))

    @rule()
    def forget_old_versions(self) -> None:
        self.cluster.forgotten = self.cluster.version

    @rule(seconds=st.sampled_from([1, 10, 61, 400]))
    def wait(self, seconds: int) -> None:
        self.cluster.now += timedelta(seconds=seconds)

    # The cluster.

    @rule()
    def make_pods(self) -> None:
        for job in self.cluster.all("jobs"):
            self.cluster.make_pods(job)

    def pods(self, *phases: str) -> list[Any]:
        return [pod for pod in self.cluster.all("pods") if pod["status"]["phase"] in phases]

    @rule()
    def go_on(self) -> None:
        """What mostly happens."""
        self.watch_all()
        self.tick(2)
        self.make_pods()
        for pod in self.pods("Pending"):
            self.cluster.run(pod)
        self.watch_all()
        self.claim(0)

    @rule(which=PODS)
    def run_pod(self, which: int) -> None:
        waiting = self.pods("Pending")
        if waiting:
            self.cluster.run(waiting[which % len(waiting)])

    @rule(which=PODS, code=CODES)
    def exit_pod(self, which: int, code: int) -> None:
        running = self.pods("Running")
        if running:
            self.cluster.exit(running[which % len(running)], code)

    @rule(which=PODS, reason=st.sampled_from(["PreemptionByScheduler", "DeletionByTaintManager"]))
    def disrupt_pod(self, which: int, reason: str) -> None:
        running = self.pods("Running")
        if running:
            self.cluster.disrupt(running[which % len(running)], reason)

    @rule(which=PODS)
    def delete_job(self, which: int) -> None:
        """Somebody with kubectl."""
        there = self.cluster.all("jobs")
        if there:
            self.cluster._delete("jobs", there[which % len(there)], now=False)

    @rule()
    def expire_jobs(self) -> None:
        """The TTL controller."""
        for job in self.cluster.all("jobs"):
            if seeing.is_finished(job):
                self.cluster._delete("jobs", job, now=False)

    # Workers: the first pod of each Job speaks.

    def attempt_of(self, pod: Any) -> str:
        metadata = pod["metadata"]
        number = metadata["labels"]["visiontune.dev/attempt"]
        return f"{metadata['annotations'][TRAINING_JOB]}/attempts/{number}"

    @rule(which=PODS)
    def claim(self, which: int) -> None:
        silent = [pod for pod in self.pods("Running") if pod["metadata"]["name"].split("-")[3] == "0"]
        if not silent:
            return
        pod = silent[which % len(silent)]
        attempt, name = self.attempt_of(pod), pod["metadata"]["name"]
        try:
            self.run_sync(attempts.issue_token(attempt, self.deps))
            self.run_sync(attempts.claim(attempt, name, self.deps))
            self.speakers[name] = attempt
        except (StaleAttempt, AttemptClaimed):
            self.cluster.exit(pod, 76)

    @rule()
    def report(self) -> None:
        """All workers speak, also those that nobody wants to hear: at most one a job is heard."""
        heard = []
        for name, attempt in list(self.speakers.items()):
            try:
                self.run_sync(attempts.record_report(Report(attempt, 0), self.deps))
                heard.append((attempt.split("/attempts/")[0], attempt, name))
            except StaleAttempt:
                self.forget_speaker(name)
        of_jobs = [job for job, _, _ in heard]
        assert len(of_jobs) == len(set(of_jobs)), heard

    @rule(which=PODS, outcome=st.sampled_from(["SUCCEEDED", "FAILED", "RETRY", "CANCELLED", "PAUSED"]))
    def finish(self, which: int, outcome: str) -> None:
        if not self.speakers:
            return
        name, attempt = sorted(self.speakers.items())[which % len(self.speakers)]
        if ("pods", name) not in self.cluster.objects:
            return
        self.end(name, attempt, outcome)

    def end(self, name: str, attempt: str, outcome: str) -> None:
        with contextlib.suppress(StaleAttempt):
            self.run_sync(attempts.finish(attempts.Finish(attempt, outcome), self.deps))
        self.forget_speaker(name)
        job_name = self.cluster.objects["pods", name]["metadata"]["labels"][JOB_NAME_LABEL]
        code = {"SUCCEEDED": 0, "FAILED": 65, "RETRY": 75, "CANCELLED": 0, "PAUSED": 0}[outcome]
        for pod in self.pods("Running"):
            if pod["metadata"]["labels"][JOB_NAME_LABEL] == job_name:
                self.cluster.exit(pod, code)

    def forget_speaker(self, name: str) -> None:
        self.speakers.pop(name, None)

    # What holds.

    async def rows(self) -> list[tuple[Job, list[State]]]:
        found = []
        async with UnitOfWork(World.database) as uow:
            for name in self.names:
                job = await uow.jobs.get(name)
                events = await uow.records.events(name, 0, 10_000)
                assert job is not None
                assert [each.sequence for each in events] == list(range(1, len(events) + 1))
                found.append((job, [each.state for each in events]))
        return found

    @invariant()
    def every_step_is_legal(self) -> None:
        for job, states in self.run_sync(self.rows()):
            path = [State.QUEUED, *states]
            for old, new in itertools.pairwise(path):
                assert new is old or new in ALLOWED[old], path
            assert path[-1] is job.state
            assert job.charged <= MAX_ATTEMPTS
            assert (job.ended_at is not None) == (job.state in FINAL)
            assert job.pause_requested_at is None or job.state not in AT_REST

    def teardown(self) -> None:
        """When the world comes to rest, every job ends or is paused, and nothing is left in the cluster.

        Nor do paused jobs cost anything; resumed, they end as well.
        """
        if not hasattr(self, "cluster"):
            return
        self.cluster.faults.clear()
        self.come_to_rest()
        paused = [job.name for job, _ in self.run_sync(self.rows()) if job.state is State.PAUSED]
        event(f"{len(paused)} paused at last")
        self.hours_are_counted()
        for name in paused:
            self.run_sync(pauses.resume_job(name, self.deps))
        self.come_to_rest()
        stuck = [(job.name, job.state, job.message) for job, _ in self.run_sync(self.rows()) if not job.ended]
        for job, _ in self.run_sync(self.rows()):
            event(f"{job.state} after {job.attempt} attempts, {job.uncharged} not charged")
        assert stuck == []
        assert self.alive() == []
        self.hours_are_counted()
        self.every_step_is_legal()

    def come_to_rest(self) -> None:
        for _ in range(100):
            self.let_all_do_their_work()
            resting = all(job.state in AT_REST for job, _ in self.run_sync(self.rows()))
            if resting and not self.alive():
                break
        assert self.alive() == []

    def hours_are_counted(self) -> None:
        """No machine counts twice, and none runs on for ever."""
        self.cluster.now += timedelta(seconds=61)
        self.watch_all()
        self.run_sync(self.reconciler.tick())
        running = self.run_sync(self.running_times())
        assert running == []

    async def running_times(self) -> list[Any]:
        async with UnitOfWork(World.database) as uow:
            return await uow.usage.running()

    def let_all_do_their_work(self) -> None:
        self.cluster.now += timedelta(seconds=10)  # Silence counts only where nobody paused for longer.
        self.watch_all()
        self.run_sync(self.reconciler.tick())
        self.make_pods()
        for pod in self.pods("Pending", "Running"):
            if pod["metadata"].get("deletionTimestamp"):
                self.cluster.exit(self.started(pod), 75)
            elif pod["status"]["phase"] == "Pending":
                self.cluster.run(pod)
        self.watch_all()
        for _ in range(len(self.pods("Running"))):
            self.claim(0)
            for name, attempt in list(self.speakers.items()):
                if ("pods", name) in self.cluster.objects:
                    self.end(name, attempt, self.what_it_was_told(attempt))
                else:
                    self.forget_speaker(name)

    def what_it_was_told(self, attempt: str) -> str:
        with contextlib.suppress(StaleAttempt):
            told = self.run_sync(attempts.record_report(Report(attempt, 0), self.deps))
            return {Order.PAUSE: "PAUSED", Order.CANCEL: "CANCELLED"}.get(told.order, "SUCCEEDED")
        return "SUCCEEDED"

    def started(self, pod: Any) -> Any:
        if pod["status"]["phase"] == "Pending":
            self.cluster.run(pod)
        return self.cluster.objects["pods", pod["metadata"]["name"]]

    def alive(self) -> list[str]:
        """Jobs and pods of which something runs on."""
        unfinished = [
            job["metadata"]["name"] for job in self.cluster.all("jobs") if not seeing.is_finished(job)
        ]
        return unfinished + [pod["metadata"]["name"] for pod in self.pods("Pending", "Running")]


AnyOrder.TestCase.settings = settings(
    # A tenth more, since some runs end before their last step.
    max_examples=max(1, SOAK_STEPS * 11 // (10 * STEPS)) if SOAK_STEPS else 15,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # a blob replays it; shrinking takes hours
    print_blob=True,
)
TestAnyOrder = pytest.mark.timeout(0 if SOAK_STEPS else 170)(AnyOrder.TestCase)
