"""A small WorkerService on a real socket: a double at a process border, the trainer's.

It keeps the contract of worker.proto (numbered reports, commits, stale tokens) and nothing else; the system
tests walk the true trainer.
"""

import asyncio
import hashlib
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict
from google.rpc import error_details_pb2, status_pb2
from visiontune.dataset.v1 import dataset_pb2
from visiontune.trainer.v1 import trainer_pb2
from visiontune.worker.v1 import worker_pb2, worker_pb2_grpc
from visiontune_recipes.spec import Spec, digest
from visiontune_worker.claim import Manifest
from visiontune_worker.interrupts import Interrupts

from tests.support.worker_store import Store

JOB = "projects/p/trainingJobs/job"
PART_BYTES = 64 * 1024


@dataclass
class Trainer(worker_pb2_grpc.WorkerServiceServicer):
    """What a trainer remembers of one job. Survives `stop` and `start`, as a database would."""

    store: Store
    spec: Spec
    manifest: Manifest
    layers: list[worker_pb2.ModelFiles] = field(default_factory=list)
    adapter_base: trainer_pb2.BaseModel | None = None
    earlier: tuple[int, list[trainer_pb2.ArtifactFile]] | None = None  # another job's checkpoint, by step
    attempt: int = 1
    token: str = "secret"
    pod_token: str = "pod-secret"
    exchanges: list[str] = field(default_factory=list)  # what came as authorization
    heartbeat_s: float = 1.0
    order: worker_pb2.ReportResponse.Order.ValueType = worker_pb2.ReportResponse.ORDER_CONTINUE
    stale: bool = False
    answers_a_stream: float = float("inf")  # afterwards it ends the stream
    acknowledged: int = 0
    metrics: dict[int, dict[str, float]] = field(default_factory=dict)
    logs: list[trainer_pb2.LogLine] = field(default_factory=list)
    samples: list[trainer_pb2.Sample] = field(default_factory=list)
    metrics_before: dict[str, float] = field(default_factory=dict)
    base_revision: str = ""
    notices: list[worker_pb2.Notice] = field(default_factory=list)
    progress: list[trainer_pb2.Progress] = field(default_factory=list)
    checkpoints: dict[int, list[trainer_pb2.ArtifactFile]] = field(default_factory=dict)
    best_step: int | None = None
    finished: list[worker_pb2.FinishAttemptRequest] = field(default_factory=list)
    repeated: int = 0
    claims: int = 0
    traceparents: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def name(self) -> str:
        return f"{JOB}/attempts/{self.attempt}"

    def next_attempt(self) -> None:
        """The attempt is lost: the next one begins."""
        self.attempt += 1
        self.acknowledged = 0

    def losses(self) -> dict[int, float]:
        return {step: values["loss"] for step, values in sorted(self.metrics.items()) if "loss" in values}

    def wait_until(self, condition: Any, timeout_s: float = 60.0) -> None:
        """Waits for a condition on what was reported."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(0.01)

    def order_and_wait(
        self, order: worker_pb2.ReportResponse.Order.ValueType, interrupts: Interrupts
    ) -> None:
        """A user asks for something; returns when the worker has heard of it."""
        self.order = order
        self.wait_until(lambda: not interrupts.quiet)

    # The server.

    def start(self) -> None:
        """Listens; on the port of the last time, if there was one."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    def stop(self) -> None:
        """Goes away without a word, like a process that was killed."""
        asyncio.run_coroutine_threadsafe(self._server.stop(0), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        self._server = grpc.aio.server()
        worker_pb2_grpc.add_WorkerServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def _authenticate(self, request: Any, context: Any) -> None:
        metadata = dict(context.invocation_metadata())
        self.traceparents.append(metadata.get("traceparent", ""))
        wrong = metadata.get("authorization") != f"Bearer {self.token}"
        if wrong or self.stale or request.attempt != self.name:
            info = error_details_pb2.ErrorInfo(reason="StaleAttempt", domain="visiontune.dev")
            status = status_pb2.Status(code=7, message="another attempt has taken over")
            status.details.add().Pack(info)
            await context.abort(
                grpc.StatusCode.PERMISSION_DENIED,
                status.message,
                (("grpc-status-details-bin", status.SerializeToString()),),
            )

    # The service.

    async def ExchangeToken(self, request: Any, context: Any) -> worker_pb2.ExchangeTokenResponse:
        given = dict(context.invocation_metadata()).get("authorization")
        self.exchanges.append(str(given))
        if given != f"Bearer {self.pod_token}":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the cluster cannot be asked now")
        return worker_pb2.ExchangeTokenResponse(token=self.token)

    async def ClaimAttempt(self, request: Any, context: Any) -> worker_pb2.ClaimAttemptResponse:
        await self._authenticate(request, context)
        self.claims += 1
        answer = worker_pb2.ClaimAttemptResponse(
            training_job=JOB,
            attempt_number=self.attempt,
            spec=ParseDict(self.spec.to_dict(), trainer_pb2.TrainingJobSpec()),
            spec_digest=digest(self.spec),
            manifest=manifest_message(self.manifest),
            model_files=self.layers,
            adapter_base=self.adapter_base,
            samples=self.samples,
            metrics_before=self.metrics_before,
            base_revision=self.base_revision,
            heartbeat_interval_s=self.heartbeat_s,
        )
        newest = max(self.checkpoints.items(), default=self.earlier, key=lambda each: each[0])
        if newest:
            answer.resume_from.step = newest[0]
            answer.resume_from.files.extend(newest[1])
        if self.best_step in self.checkpoints:
            answer.best.step = self.best_step
            answer.best.files.extend(self.checkpoints[self.best_step])
        return answer

    async def Report(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        answers = 0
        async for report in requests:
            await self._authenticate(report, context)
            if report.sequence > self.acknowledged:
                self._keep(report)
                self.acknowledged = report.sequence
            else:
                self.repeated += 1
            yield worker_pb2.ReportResponse(acknowledged=self.acknowledged, order=self.order)
            answers += 1
            if answers >= self.answers_a_stream:
                return

    def _keep(self, report: worker_pb2.ReportRequest) -> None:
        for point in report.metrics:
            self.metrics.setdefault(point.step, {}).update(point.values)
        self.logs.extend(report.log_lines)
        if report.samples:
            self.samples = list(report.samples)
        if report.metrics_before:
            self.metrics_before = dict(report.metrics_before)
        self.base_revision = self.base_revision or report.base_revision
        self.notices += report.notices
        if report.HasField("progress"):
            self.progress.append(report.progress)

    async def RenewReadManifest(self, request: Any, context: Any) -> dataset_pb2.ReadManifest:
        await self._authenticate(request, context)
        return manifest_message(self.manifest)

    async def CreateFileUploads(self, request: Any, context: Any) -> Any:
        await self._authenticate(request, context)
        return worker_pb2.CreateFileUploadsResponse(
            uploads=[
                worker_pb2.FileUpload(
                    path=each.path,
                    upload=f"projects/p/uploads/{_id(f'{request.folder}/{each.path}')}",
                    part_size_bytes=PART_BYTES,
                    part_urls=[
                        f"{self.store.url}/{request.folder}/{each.path}.part{number}"
                        for number in range(-(-each.size_bytes // PART_BYTES))
                    ],
                )
                for each in request.files
            ]
        )

    async def CommitCheckpoint(self, request: Any, context: Any) -> Any:
        await self._authenticate(request, context)
        self.checkpoints[request.step] = self.assemble(f"checkpoints/step-{request.step}", request.files)
        self.best_step = request.best_step if request.HasField("best_step") else None
        return worker_pb2.CommitCheckpointResponse()

    async def FinishAttempt(self, request: Any, context: Any) -> Any:
        await self._authenticate(request, context)
        self.finished.append(request)
        for artifact in request.artifacts:
            self.assemble(f"artifacts/{artifact.artifact}", artifact.files)
        return worker_pb2.FinishAttemptResponse()

    def assemble(self, folder: str, files: Any) -> list[trainer_pb2.ArtifactFile]:
        """Puts the parts of each file together, as an object store does."""
        return [self._assemble(self.store.folder / folder / each.path, folder, each.path) for each in files]

    def _assemble(self, path: Path, folder: str, name: str) -> trainer_pb2.ArtifactFile:
        parts = sorted(path.parent.glob(f"{path.name}.part*"), key=lambda p: int(p.suffix[5:]))
        data = b"".join(part.read_bytes() for part in parts)
        path.write_bytes(data)
        for part in parts:
            part.unlink()
        return trainer_pb2.ArtifactFile(
            path=name,
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            url=f"{self.store.url}/{folder}/{name}",
        )


def _id(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def manifest_message(manifest: Manifest) -> dataset_pb2.ReadManifest:
    """The message of a manifest."""
    return dataset_pb2.ReadManifest(
        version=manifest.version,
        digest=manifest.digest,
        kinds=[dataset_pb2.ExampleKind.Value(f"EXAMPLE_KIND_{kind}") for kind in manifest.facts.kinds],
        split_counts=manifest.facts.split_counts,
        shards=[
            dataset_pb2.Shard(
                index=each.index,
                sha256=each.sha256,
                row_count=each.rows,
                size_bytes=each.size_bytes,
                split_counts=each.split_counts,
                url=each.url,
            )
            for each in manifest.shards
        ],
    )
