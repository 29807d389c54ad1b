"""Many jobs on many nodes: the real trainer on a real control plane, with stand-ins for the training."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    closing,
    contextmanager,
)
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune.trainer.v1 import trainer_pb2_grpc
from visiontune_kit import channels, migrations

from tests.cluster import accounts
from tests.cluster.api import Resource
from tests.cluster.cluster import Cluster
from tests.cluster.control_plane import child, free_ports
from tests.cluster.recorder import SELECTOR, Place, Recorder, longest_idle
from tests.cluster.stand_in import EVICTED, Act, Part, StandIns, patiently
from tests.cluster.workloads import IMAGE, condition
from tests.support import databases, trust
from tests.support.fake_services import running_datasets
from tests.support.trainer import create_request

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
STAND_IN = "visiontune-worker:stand-in"
ACCELERATOR, LABELS = "nvidia-t4", {"nvidia.com/gpu.product": "Tesla-T4"}
GPUS_OF_A_NODE = 4
SIZES = (1, 1, 2, 4)
STATE = pb.TrainingJob
ENDED = frozenset({STATE.STATE_SUCCEEDED, STATE.STATE_FAILED, STATE.STATE_CANCELLED})


@dataclass(frozen=True)
class Plan:
    """One job, and the part that its workers play."""

    id: str
    gpus: int  # on each node
    nodes: int
    part: Part

    @property
    def expected(self) -> tuple[int, int, int]:
        """Its last state, the number of its attempts, and how many of them are not charged."""
        return EXPECTED[self.part.act]


EXPECTED: Mapping[Act, tuple[int, int, int]] = {
    Act.SUCCEEDS: (STATE.STATE_SUCCEEDED, 1, 0),
    Act.FAILS: (STATE.STATE_FAILED, 1, 0),
    Act.FAILS_SILENTLY: (STATE.STATE_FAILED, 1, 0),
    Act.LEAVES: (STATE.STATE_SUCCEEDED, 2, 1),
    Act.LEAVES_SILENTLY: (STATE.STATE_SUCCEEDED, 2, 0),  # nobody is known to have asked it to
    Act.IS_EVICTED: (STATE.STATE_SUCCEEDED, 2, 1),
    Act.IS_EVICTED_SILENTLY: (STATE.STATE_SUCCEEDED, 2, 1),
}


def plans(chance: random.Random, count: int, run_s: tuple[float, float]) -> list[Plan]:
    """Jobs of all sizes. Half of them go well; each other act has its share, and is there at least once."""
    trouble = [act for act in Act if act is not Act.SUCCEEDS]
    acts = [trouble[place // 2 % len(trouble)] if place % 2 else Act.SUCCEEDS for place in range(count)]
    chance.shuffle(acts)
    return [
        Plan(
            id=f"job-{place:03d}",
            gpus=chance.choice(SIZES),
            # An eviction takes one pod of a job, here always that of the only node.
            nodes=2 if act not in EVICTED and chance.random() < 0.1 else 1,
            part=Part(act, chance.uniform(*run_s)),
        )
        for place, act in enumerate(acts)
    ]


@dataclass
class TrainerProgram:
    """`python -m visiontune_trainer` as a child process, which a test kills and starts again."""

    environment: Mapping[str, str]
    log: Path
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def start(self) -> None:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                child([sys.executable, "-m", "visiontune_trainer"]),
                env={**os.environ, **self.environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """End it at once. Raises AssertionError when it had ended by itself."""
        assert self._process is not None
        code = self._process.poll()
        assert code is None, f"the trainer ended with {code}:\n{self.log.read_text()[-3000:]}"
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """End it as an operator does; nothing happens where it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="fleet", daemon=True)
        self._thread.start()

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.begin(work).result()

    @contextmanager
    def within(self, manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Enter the manager there, for the block."""
        stack = AsyncExitStack()
        try:
            yield self.run(stack.enter_async_context(manager))
        finally:
            self.run(stack.aclose())

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@dataclass(frozen=True)
class Figures:
    """Medians over jobs, in seconds, but for the longest idleness; calls of the API server a job."""

    start_s: float  # from a job's creation to its first pod's
    end_s: float  # from the success of a pod to SUCCEEDED; 0 where the trainer was told before
    answer_s: float  # from a worker's word that it has succeeded to SUCCEEDED
    silent_end_s: float  # from the end of a pod that told nobody to FAILED
    idle_s: float  # see recorder.longest_idle
    calls: Mapping[str, float]  # by verb and kind

    def __str__(self) -> str:
        calls = ", ".join(f"{call} {count:.2f}" for call, count in self.calls.items())
        return (
            f"created to pod created {self.start_s:.2f} s; "
            f"pod succeeded to SUCCEEDED {self.end_s:.2f} s, worker's word to it {self.answer_s:.2f} s; "
            f"pod failed without a word to FAILED {self.silent_end_s:.2f} s; "
            f"room for the first that waits unused for {self.idle_s:.2f} s at the most; "
            f"calls a job {sum(self.calls.values()):.2f} ({calls})"
        )


@dataclass
class Fleet:
    """Nodes, the trainer, and what was recorded of its doings."""

    cluster: Cluster
    nodes: Sequence[str]
    trainer: TrainerProgram
    recorder: Recorder
    stand_ins: StandIns
    plans: Sequence[Plan]
    loop: Loop
    trusted: trust.Trust
    channel: grpc.aio.Channel
    audited_before: int  # calls that were written down when it began

    def submit(self, users: int = 1) -> Future[None]:
        """Begin to create all jobs; each user asks for the next once the trainer has answered."""
        return self.loop.begin(self._submit(users))

    async def _submit(self, users: int) -> None:
        room = asyncio.Semaphore(users)

        async def create(plan: Plan) -> None:
            resources = pb.Resources(accelerator=ACCELERATOR, accelerator_count=plan.gpus, nodes=plan.nodes)
            async with room:
                request = create_request(plan.id, request_id=str(uuid.uuid4()), resources=resources)
                await self._call("CreateTrainingJob", request)

        await asyncio.gather(*map(create, self.plans))

    def jobs(self) -> list[pb.TrainingJob]:
        request = pb.ListTrainingJobsRequest(parent="projects/default", page_size=1000)
        answer: pb.ListTrainingJobsResponse = self.loop.run(self._call("ListTrainingJobs", request))
        return list(answer.training_jobs)

    async def _call(self, method: str, request: Any) -> Any:
        stub = trainer_pb2_grpc.TrainerServiceStub(self.channel)
        metadata = self.trusted.metadata()
        return await patiently(lambda: getattr(stub, method)(request, metadata=metadata))

    def unfinished(self) -> list[str]:
        return [f"{job.name}: {_state(job)}" for job in self.jobs() if job.state not in ENDED]

    def wait_for_all(self, within_s: float = 600) -> None:
        """Return once all jobs have ended and nothing of them runs. AssertionError names what has not."""
        deadline = time.monotonic() + within_s
        while left := self.unfinished() or self.alive():
            assert time.monotonic() < deadline, left
            time.sleep(1)

    def alive(self) -> list[str]:
        """Jobs that have not ended, and pods with processes."""
        return [name for name, each in self._left("jobs", "pods") if not _has_ended(each)]

    def left(self) -> list[str]:
        """What the cluster still has of any attempt."""
        return [name for name, _ in self._left("jobs", "pods", "services")]

    def _left(self, *kinds: str) -> Iterator[tuple[str, Resource]]:
        for kind in kinds:
            for each in self.cluster.api.list(kind, accounts.JOBS, labelSelector=SELECTOR)["items"]:
                yield f"{kind}/{each['metadata']['name']}", each

    def clear(self) -> None:
        """Delete all Jobs, as Kubernetes does a day after their end."""
        clear(self.cluster)

    def ranks(self) -> list[tuple[str, str]]:
        """Attempt and index of each pod that there is to have been."""
        return [
            (f"projects/default/trainingJobs/{plan.id}/attempts/{number + 1}", str(index))
            for plan in self.plans
            for number in range(plan.expected[1])
            for index in range(plan.nodes)
        ]

    def attempts(self) -> set[str]:
        """Names of the attempts that the jobs are to have had."""
        return {attempt for attempt, _ in self.ranks()}

    def figures(self) -> Figures:
        """How quick the trainer was, once all jobs have ended."""
        jobs = {job.name: job for job in self.jobs()}
        acts = {f"projects/default/trainingJobs/{plan.id}": plan.part.act for plan in self.plans}
        starts, ends, answers, silent_ends = [], [], [], []
        for name, job in jobs.items():
            first = self.recorder.pod(f"{name}/attempts/1")
            starts.append(first.created_at - _seconds(job.create_time))
            after_end_s = _seconds(job.end_time) - _known(first.ended_at)
            if acts[name] is Act.SUCCEEDS:
                ends.append(max(after_end_s, 0.0))
                answers.append(_seconds(job.end_time) - self.stand_ins.finishing_at[first.attempt])
            if acts[name] is Act.FAILS_SILENTLY:
                silent_ends.append(after_end_s)
        places = [
            Place(
                pod.gpus,
                # Before its pod was made, only a first attempt is known to have been wanted.
                _seconds(jobs[job].create_time) if number == "1" else pod.created_at,
                _known(pod.placed_at),
                _known(pod.ended_at),
                pod.node,
            )
            for pod in self.recorder.pods.values()
            for job, _, number in [pod.attempt.rpartition("/attempts/")]
        ]
        return Figures(
            start_s=median(starts),
            end_s=median(ends),
            answer_s=median(answers),
            silent_end_s=median(silent_ends),
            idle_s=longest_idle(places, dict.fromkeys(self.nodes, GPUS_OF_A_NODE)),
            calls={call: count / len(jobs) for call, count in sorted(self.calls().items())},
        )

    def calls(self) -> Counter[str]:
        """The trainer's calls of the API server so far, by verb and kind."""
        calls: Counter[str] = Counter()
        for event in self.cluster.plane.audited()[self.audited_before :]:
            if event["verb"] == "watch" and event["stage"] != "ResponseStarted":
                continue
            asked = event.get("objectRef", {})
            calls[f"{event['verb']} {asked.get('resource', event['requestURI'])}"] += 1
        return calls


def _seconds(at: Timestamp) -> float:
    return at.ToNanoseconds() / 1e9


def _known(at: float | None) -> float:
    assert at is not None, "it has not happened, or nobody saw it"
    return at


def _state(job: pb.TrainingJob) -> str:
    return f"{STATE.State.Name(job.state)}, attempt {job.attempt}: {job.state_message}"


@contextmanager
def running(cluster: Cluster, folder: Path, planned: Sequence[Plan], node_count: int) -> Iterator[Fleet]:
    """A fleet inside the block, its trainer not started yet; afterwards nothing of it is left."""
    folder.mkdir(exist_ok=True)
    accounts.install(cluster)
    trusted = trust.make(folder / "keys")
    (port,) = free_ports(1)
    target = f"trainer-{port}.{accounts.SERVICES}.svc:8703"
    names = [f"t4-{number:02d}" for number in range(node_count)]
    recorder = Recorder(cluster.api)

    def evict(uid: str) -> None:
        name = recorder.pods[uid].name
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        cluster.api.create("pods", body, accounts.JOBS, f"{name}/eviction")

    with ExitStack() as stack:
        loop = Loop()
        stack.callback(loop.close)
        postgres = stack.enter_context(closing(databases.Postgres()))
        url = postgres.make_database("trainer")
        migrations.upgrade(url, "visiontune_trainer")
        datasets, channel = stack.enter_context(loop.within(_beside(port, trusted)))
        stand_ins = StandIns(loop.loop, channel, {plan.id: plan.part for plan in planned}, evict)
        cluster.machine.images[STAND_IN] = cluster.machine.images[IMAGE]
        cluster.machine.stand_ins[STAND_IN] = stand_ins
        cluster.machine.names[target] = f"127.0.0.1:{port}"
        cluster.add_nodes(names, LABELS, gpus=str(GPUS_OF_A_NODE))
        stack.callback(cluster.remove_nodes, names)
        stack.callback(clear, cluster)
        stack.enter_context(recorder.recording())
        environment = {
            "VISIONTUNE_TRAINER_PORT": str(port),
            "VISIONTUNE_TRAINER_DATABASE_URL": url,
            "VISIONTUNE_TRAINER_SIGNING_KEY_FILE": str(trusted.key_file("trainer")),
            "VISIONTUNE_ISSUERS_FILE": str(trusted.issuers_file),
            "VISIONTUNE_TRAINER_DATASET_TARGET": datasets,
            "VISIONTUNE_TRAINER_STORAGE_TARGET": "127.0.0.1:9",  # stand-ins store nothing
            "VISIONTUNE_TRAINER_BACKEND": "kubernetes",
            "VISIONTUNE_TRAINER_WORKER_TARGET": target,
            "VISIONTUNE_TRAINER_KUBERNETES_KUBECONFIG": str(
                cluster.plane.kubeconfig("fleet", accounts.trainer_token(cluster))
            ),
            "VISIONTUNE_TRAINER_KUBERNETES_WORKER_IMAGE": STAND_IN,
            "VISIONTUNE_TRAINER_KUBERNETES_ACCELERATORS_FILE": str(
                ROOT / "k8s/accelerators/gpu-feature-discovery.yaml"
            ),
        }
        trainer = TrainerProgram(environment, folder / "trainer.log")
        stack.callback(trainer.stop)
        before = len(cluster.plane.audited())
        yield Fleet(cluster, names, trainer, recorder, stand_ins, planned, loop, trusted, channel, before)


@asynccontextmanager
async def _beside(port: int, trusted: trust.Trust) -> AsyncIterator[tuple[str, grpc.aio.Channel]]:
    """The stand-in of the dataset service: its address; and a channel to the trainer."""
    async with (
        running_datasets(trusted.issuers_file) as (_, datasets),
        channels.connect(f"127.0.0.1:{port}") as channel,
    ):
        yield datasets, channel


def clear(cluster: Cluster) -> None:
    """Delete all Jobs of trainers."""
    for job in cluster.api.list("jobs", accounts.JOBS, labelSelector=SELECTOR)["items"]:
        cluster.api.delete("jobs", job["metadata"]["name"], accounts.JOBS)


def _has_ended(one: Resource) -> bool:
    return one["status"].get("phase") in {"Succeeded", "Failed"} or any(
        condition(one, kind) for kind in ("Complete", "Failed")
    )
