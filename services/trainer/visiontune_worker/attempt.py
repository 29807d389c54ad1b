"""The worker's line to the trainer: calls with patience, and a report stream that mends itself.

gRPC runs on an event loop in a thread of its own, so that heartbeats go out while torch computes.
"""

import asyncio
import contextvars
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import grpc
import structlog
from google.protobuf.message import Message
from visiontune.worker.v1 import worker_pb2, worker_pb2_grpc
from visiontune_kit import errors, status
from visiontune_kit.channels import connect
from visiontune_kit.tls import ClientTls

from visiontune_worker.claim import Claim, Manifest, claim_from, manifest_from
from visiontune_worker.faults import Cancelled, EnvironmentFault, Fault, Order, PassingFault, Paused, Stale
from visiontune_worker.interrupts import Interrupts
from visiontune_worker.reports import Outbox, timestamp

T = TypeVar("T")
log = structlog.get_logger(__name__)

CALL_TIMEOUT_S = 30.0
REPORT_EVERY_S = 0.5
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
# Another attempt has taken over, or another worker this one, or the job is deleted.
STALE = (errors.PermissionDenied, errors.NotFound, errors.AlreadyExists)
# What is worth asking again; the calls are idempotent.
PASSING = (errors.Unavailable, errors.DeadlineExceeded, errors.Aborted, errors.Internal, errors.Cancelled)
# What the trainer may answer to a report, but for going on.
ORDERS: Mapping[int, tuple[type[Order], str]] = {
    worker_pb2.ReportResponse.ORDER_CANCEL: (Cancelled, "cancelled by a user"),
    worker_pb2.ReportResponse.ORDER_PAUSE: (Paused, "paused by a user"),
}


class Attempt:
    """One attempt. Use it as a context manager; every method may be called from any thread.

    Calls wait up to `patience_s` for a trainer that is away. They raise Stale when another attempt has taken
    over, EnvironmentFault when the trainer refuses, PassingFault when patience ends.
    """

    def __init__(
        self,
        *,
        target: str,
        name: str,
        token: str,
        worker_id: str,
        interrupts: Interrupts,
        pod_token_file: Path | None = None,
        patience_s: float = 600.0,
        tls: ClientTls | None = None,
    ) -> None:
        self.name = name
        self.outbox = Outbox(name)
        self._target = target
        self._tls = tls
        self._token = token
        self._pod_token_file = pod_token_file
        self._worker_id = worker_id
        self._interrupts = interrupts
        self._patience_s = patience_s
        self._heartbeat_s = 10.0
        self._context = contextvars.Context()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="trainer", daemon=True)
        self._stub: Any = None
        self._channel: grpc.aio.Channel | None = None
        self._reporting: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._context = contextvars.copy_context()
        self._thread.start()
        self._run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def claim(self) -> Claim:
        """Takes the attempt and starts to report; without a token, first exchanges the pod's for one."""
        if not self._token:
            self._run(self._exchange_token())
        answer = self._call(
            "ClaimAttempt", worker_pb2.ClaimAttemptRequest(attempt=self.name, worker_id=self._worker_id)
        )
        claim = claim_from(answer)
        self._heartbeat_s = claim.heartbeat_interval_s
        self._run(self._start_reporting())
        return claim

    def renew_manifest(self) -> Manifest:
        """The manifest with fresh URLs."""
        return manifest_from(
            self._call("RenewReadManifest", worker_pb2.RenewReadManifestRequest(attempt=self.name))
        )

    def create_uploads(
        self, folder: str, files: Sequence[worker_pb2.FileToUpload]
    ) -> Sequence[worker_pb2.FileUpload]:
        """Where to PUT files, in their order."""
        request = worker_pb2.CreateFileUploadsRequest(attempt=self.name, folder=folder, files=files)
        answer: worker_pb2.CreateFileUploadsResponse = self._call("CreateFileUploads", request)
        return answer.uploads

    def commit_checkpoint(
        self, *, step: int, epoch: float, files: Sequence[worker_pb2.UploadedFile], best_step: int | None
    ) -> None:
        """Makes a checkpoint the one to resume from. best_step: whose checkpoint is to be kept, too."""
        self._call(
            "CommitCheckpoint",
            worker_pb2.CommitCheckpointRequest(
                attempt=self.name, step=step, epoch=epoch, files=files, best_step=best_step
            ),
        )

    def succeed(
        self,
        *,
        artifacts: Mapping[str, Sequence[worker_pb2.UploadedFile]],
        metrics: Mapping[str, float],
        parameter_count: int,
        best_step: int | None,
        message: str,
    ) -> None:
        """Ends the attempt well, after everything reported is stored."""
        self.flush()
        self._call(
            "FinishAttempt",
            worker_pb2.FinishAttemptRequest(
                attempt=self.name,
                outcome=worker_pb2.OUTCOME_SUCCEEDED,
                artifacts=[
                    worker_pb2.ArtifactUploads(artifact=artifact, files=files)
                    for artifact, files in artifacts.items()
                ],
                metrics=metrics,
                parameter_count=parameter_count,
                best_step=best_step,
                message=message,
                end_time=timestamp(),
            ),
        )

    def end(
        self,
        outcome: worker_pb2.Outcome.ValueType,
        *,
        reason: str,
        message: str,
        patience_s: float | None = None,
    ) -> None:
        """Ends the attempt otherwise. patience_s: less than usual when the machine is in a hurry."""
        self.flush(patience_s)
        request = worker_pb2.FinishAttemptRequest(
            attempt=self.name,
            outcome=outcome,
            reason=reason[:63],
            message=message[:4000],
            end_time=timestamp(),
        )
        self._call("FinishAttempt", request, patience_s=patience_s)

    def flush(self, patience_s: float | None = None) -> None:
        """Waits until what was reported is stored, or patience ends."""
        deadline = time.monotonic() + (self._patience_s if patience_s is None else patience_s)
        while self._reporting and not self._reporting.done() and not self.outbox.empty():
            if time.monotonic() > deadline:
                log.warning("reports_not_stored", attempt=self.name)
                return
            time.sleep(0.02)

    # What follows runs on the event loop.

    def _call(self, method: str, request: Message, *, patience_s: float | None = None) -> Any:
        return self._run(
            self._patiently(
                lambda: getattr(self._stub, method)(
                    request, metadata=_bearer(self._token), timeout=CALL_TIMEOUT_S
                ),
                self._patience_s if patience_s is None else patience_s,
            )
        )

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        # In the context that opened the attempt, whichever thread calls: its trace goes on.
        return self._context.copy().run(asyncio.run_coroutine_threadsafe, work, self._loop).result()

    async def _exchange_token(self) -> None:
        request = worker_pb2.ExchangeTokenRequest(attempt=self.name)

        def exchange() -> Any:
            # Read anew each time: the kubelet renews it.
            return self._stub.ExchangeToken(
                request, metadata=_bearer(_read_token(self._pod_token_file)), timeout=CALL_TIMEOUT_S
            )

        self._token = (await self._patiently(exchange, self._patience_s)).token

    async def _open(self) -> None:
        self._channel = connect(self._target, tls=self._tls)
        self._stub = worker_pb2_grpc.WorkerServiceStub(self._channel)

    async def _close(self) -> None:
        if self._reporting is not None:
            self._reporting.cancel()
            await asyncio.gather(self._reporting, return_exceptions=True)
        if self._channel is not None:
            await self._channel.close(None)
        # What grpc still has to clean up belongs to this loop.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=1.0)

    async def _patiently(self, call: Callable[[], Any], patience_s: float) -> Any:
        deadline = time.monotonic() + patience_s
        pauses = _pauses()
        while True:
            try:
                return await call()
            except PASSING as failure:
                if failure.reason == "ServiceIdentityRefused":
                    raise _refused(failure) from failure
                if time.monotonic() > deadline:
                    raise PassingFault(
                        "TRAINER_UNAVAILABLE", f"The trainer did not answer: {failure}"
                    ) from failure
                log.info("trainer_call_retried", attempt=self.name, error=str(failure))
            except errors.Failure as failure:
                raise self._ending(failure) from failure
            await asyncio.sleep(next(pauses))

    def _ending(self, failure: errors.Failure) -> Stale | Fault:
        if not isinstance(failure, STALE):
            return _refused(failure)
        stale = Stale(str(failure))
        self._interrupts.hear(stale)
        return stale

    async def _start_reporting(self) -> None:
        self._reporting = asyncio.create_task(self._report_until_closed())

    async def _report_until_closed(self) -> None:
        pauses = _pauses()
        while True:
            try:
                await self._report_once()
                pauses = _pauses()
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError) as error:
                failure = status.from_rpc_error(error) if isinstance(error, grpc.aio.AioRpcError) else None
                if isinstance(failure, STALE):
                    self._interrupts.hear(Stale(str(failure)))
                    return
                log.info("report_stream_lost", attempt=self.name, error=str(failure or error))
            await asyncio.sleep(next(pauses))

    async def _report_once(self) -> None:
        """One stream, until it breaks: sends what is due, hears acknowledgements and orders."""
        over = asyncio.Event()
        stream = self._stub.Report(self._outgoing(over), metadata=_bearer(self._token))
        try:
            while True:
                # Each report is answered; silence for several heartbeats means that nobody is there.
                # Of an answer and an end that come at once wait_for would lose the end (Python 3.11).
                async with asyncio.timeout(4 * self._heartbeat_s):
                    answer = await stream.read()
                if not isinstance(answer, worker_pb2.ReportResponse):  # the end of the stream
                    return
                self.outbox.acknowledge(answer.acknowledged)
                if answer.order in ORDERS:
                    kind, why = ORDERS[answer.order]
                    self._interrupts.hear(kind(why))
        finally:
            over.set()
            stream.cancel()

    async def _outgoing(self, over: asyncio.Event) -> AsyncIterator[worker_pb2.ReportRequest]:
        """What a stream sends. gRPC asks for more when it is over: what it took then would be lost."""
        for report in self.outbox.unacknowledged():
            yield report
        sent_at = 0.0
        while not over.is_set():
            due = time.monotonic() - sent_at >= self._heartbeat_s / 2
            following = self.outbox.next(heartbeat=due)
            if following is None:
                await asyncio.sleep(min(REPORT_EVERY_S, self._heartbeat_s / 4))
                continue
            sent_at = time.monotonic()
            yield following


def _bearer(token: str) -> tuple[tuple[str, str]]:
    return (("authorization", f"Bearer {token}"),)


def _read_token(path: Path | None) -> str:
    try:
        return path.read_text(encoding="ascii").strip() if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentFault("NO_POD_TOKEN", f"The pod's token cannot be read: {error}.") from error


def _refused(failure: errors.Failure) -> EnvironmentFault:
    return EnvironmentFault("TRAINER_REFUSED", f"The trainer refused ({failure.reason}): {failure}")


def _pauses() -> Any:
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
