"""What stands in for a training: a worker's calls of the trainer in their order, and no torch.

So hundreds of pods are affordable on two cores. Each exchanges its pod's own token, claims, reports and
finishes over the real worker API, waits for a trainer that is away, and exits as a real worker would.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any, TypeVar

import grpc
import httpx
from visiontune.worker.v1 import worker_pb2 as pb
from visiontune.worker.v1 import worker_pb2_grpc
from visiontune_kit import errors
from visiontune_worker.attempt import PASSING
from visiontune_worker.faults import Exit

from tests.support.worker_client import WorkerClient

T = TypeVar("T")
LOOK_EVERY_S = 0.1
ASK_AGAIN_AFTER_S = 0.3
REPORT_EVERY_S = 5.0
TERMINATED = 143  # as a shell says that SIGTERM ended it


class Act(Enum):
    """What the first attempt of a job does once it has run for a while; later ones succeed."""

    SUCCEEDS = auto()
    FAILS = auto()  # tells the trainer so
    FAILS_SILENTLY = auto()  # only its exit code tells
    LEAVES = auto()  # as a worker does whose machine wants to be rid of it
    LEAVES_SILENTLY = auto()
    IS_EVICTED = auto()
    IS_EVICTED_SILENTLY = auto()


@dataclass(frozen=True)
class Words:
    """How an attempt ends: its exit code, and what it tells the trainer before."""

    exit_code: int
    outcome: pb.Outcome.ValueType = pb.OUTCOME_UNSPECIFIED  # says nothing
    reason: str = ""


WORDS: Mapping[Act, Words] = {
    Act.SUCCEEDS: Words(Exit.DONE, pb.OUTCOME_SUCCEEDED),
    Act.FAILS: Words(Exit.DATA, pb.OUTCOME_FAILED, "BAD_DATA"),
    Act.FAILS_SILENTLY: Words(Exit.DATA),
    Act.LEAVES: Words(Exit.RETRY, pb.OUTCOME_RETRY, "PREEMPTED"),
    Act.LEAVES_SILENTLY: Words(Exit.RETRY),
    Act.IS_EVICTED: Words(Exit.RETRY, pb.OUTCOME_RETRY, "PREEMPTED"),
    Act.IS_EVICTED_SILENTLY: Words(TERMINATED),
}
EVICTED = frozenset({Act.IS_EVICTED, Act.IS_EVICTED_SILENTLY})


@dataclass(frozen=True)
class Part:
    """The part that a job's workers play."""

    act: Act = Act.SUCCEEDS
    run_s: float = 1.0


@dataclass
class StandIns:
    """Plays the parts, on one event loop. An instance is a `kubelet.StandIn`: pods' threads call it.

    evict: asks the cluster to evict the pod with this uid.
    """

    loop: asyncio.AbstractEventLoop
    channel: grpc.aio.Channel
    parts: Mapping[str, Part]  # by the job's id
    evict: Callable[[str], None]
    finishing_at: dict[str, float] = field(default_factory=dict)  # attempt -> when it began to tell its end
    _endings: dict[str, "asyncio.Future[int]"] = field(default_factory=dict)  # attempt -> rank 0's exit code

    def __call__(self, environment: Mapping[str, str], ending: threading.Event) -> int:
        return asyncio.run_coroutine_threadsafe(self._train(environment, ending), self.loop).result()

    async def _train(self, environment: Mapping[str, str], ending: threading.Event) -> int:
        attempt = environment["VISIONTUNE_WORKER_ATTEMPT"]
        end = self._endings.setdefault(attempt, self.loop.create_future())
        if environment["JOB_COMPLETION_INDEX"] != "0":
            await _until(lambda: end.done() or ending.is_set())
            return end.result() if end.done() else TERMINATED
        try:
            code = await self._lead(attempt, environment, ending)
        except (errors.PermissionDenied, errors.NotFound, errors.AlreadyExists):
            code = Exit.STALE
        end.set_result(code)
        return code

    async def _lead(self, attempt: str, environment: Mapping[str, str], ending: threading.Event) -> int:
        """What the only process does, or rank 0 of several."""
        job, number = attempt.split("/")[3::2]
        part = self.parts[job]
        act = part.act if number == "1" else Act.SUCCEEDS
        pod = environment["VISIONTUNE_TEST_POD"]
        token = await self._token(attempt, environment["VISIONTUNE_WORKER_POD_TOKEN_FILE"])
        async with httpx.AsyncClient() as no_files:
            worker = WorkerClient(self.channel, no_files, attempt, token)
            await patiently(lambda: worker.claim(pod))
            await self._run(worker, part.run_s, ending)
            if act in EVICTED:
                await asyncio.to_thread(self.evict, pod)
                await _until(ending.is_set)
            words = WORDS[Act.LEAVES if ending.is_set() and act not in EVICTED else act]
            if words.outcome:
                self.finishing_at[attempt] = time.time()
                await patiently(lambda: worker.finish(words.outcome, reason=words.reason, message="As told."))
        return words.exit_code

    async def _token(self, attempt: str, pods_own: str) -> str:
        stub: Any = worker_pb2_grpc.WorkerServiceStub(self.channel)
        request = pb.ExchangeTokenRequest(attempt=attempt)
        metadata = [("authorization", f"Bearer {await asyncio.to_thread(Path(pods_own).read_text)}")]
        answer: pb.ExchangeTokenResponse = await patiently(
            lambda: stub.ExchangeToken(request, metadata=metadata)
        )
        return answer.token

    async def _run(self, worker: WorkerClient, run_s: float, ending: threading.Event) -> None:
        ends_at, step = self.loop.time() + run_s, 0
        while (left_s := ends_at - self.loop.time()) > 0 and not ending.is_set():
            step += 1
            # What is lost is not sent again: the next report tells that the worker lives.
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError):
                await worker.metrics(step, loss=1.0 / step)
            await _until(ending.is_set, within_s=min(left_s, REPORT_EVERY_S))


async def _until(holds: Callable[[], bool], within_s: float = float("inf")) -> None:
    """Returns once it holds, or when the time is over."""
    ends_at = asyncio.get_running_loop().time() + within_s
    while not holds() and (left_s := ends_at - asyncio.get_running_loop().time()) > 0:  # noqa: ASYNC110 - threads set it
        await asyncio.sleep(min(LOOK_EVERY_S, left_s))


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Calls again as long as the trainer is away."""
    while True:
        try:
            return await call()
        except PASSING as failure:
            if failure.reason == "ServiceIdentityRefused":
                raise
            await asyncio.sleep(ASK_AGAIN_AFTER_S)
