"""A worker's side of the protocol, spoken over a socket to the real WorkerService."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import httpx
from visiontune.trainer.v1 import trainer_pb2
from visiontune.worker.v1 import worker_pb2 as pb
from visiontune.worker.v1 import worker_pb2_grpc
from visiontune_kit import status


class WorkerClient:
    """Speaks for one attempt; its calls raise visiontune_kit.errors.Failure."""

    def __init__(self, channel: Any, http: httpx.AsyncClient, attempt: str, token: str) -> None:
        self.attempt = attempt
        self._stub = worker_pb2_grpc.WorkerServiceStub(channel)
        self._http = http
        self._token = token
        self._metadata = [("authorization", f"Bearer {token}")]
        self._sequence = 0

    def on(self, channel: Any) -> "WorkerClient":
        """The same worker on another connection."""
        return WorkerClient(channel, self._http, self.attempt, self._token)

    async def claim(self, worker_id: str = "w-1") -> Any:
        return await self.call(
            "ClaimAttempt", pb.ClaimAttemptRequest(attempt=self.attempt, worker_id=worker_id)
        )

    async def call(self, method: str, request: Any) -> Any:
        return await getattr(self._stub, method)(request, metadata=self._metadata)

    async def ask(self, method: str, request: Any) -> Any:
        """One request and its answer, of any method."""
        if method != "Report":
            return await self.call(method, request)
        try:
            return await self._tell(request)
        except grpc.aio.AioRpcError as error:
            raise status.from_rpc_error(error) from error

    def stream(self) -> Any:
        """An open report stream: write and read it."""
        return self._stub.Report(metadata=self._metadata)

    async def report(self, sequence: int | None = None, **fields: Any) -> Any:
        """One report on a stream of its own. Raises grpc.aio.AioRpcError."""
        self._sequence = sequence or self._sequence + 1
        return await self._tell(pb.ReportRequest(attempt=self.attempt, sequence=self._sequence, **fields))

    async def _tell(self, request: pb.ReportRequest) -> Any:
        async def only() -> AsyncIterator[pb.ReportRequest]:
            yield request

        # Requests that end by themselves: what waits for a next one outlives a call that fails.
        stream = self._stub.Report(only(), metadata=self._metadata)
        return await asyncio.wait_for(stream.read(), 10)

    async def metrics(self, step: int, epoch: float = 1.0, **values: float) -> Any:
        return await self.report(metrics=[trainer_pb2.MetricPoint(step=step, epoch=epoch, values=values)])

    async def create(self, folder: str, files: Mapping[str, bytes]) -> Any:
        wanted = [
            pb.FileToUpload(path=path, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
            for path, content in files.items()
        ]
        return await self.call(
            "CreateFileUploads",
            pb.CreateFileUploadsRequest(attempt=self.attempt, folder=folder, files=wanted),
        )

    async def put(
        self, uploads: pb.CreateFileUploadsResponse, files: Mapping[str, bytes]
    ) -> list[pb.UploadedFile]:
        for upload in uploads.uploads:
            [url] = upload.part_urls
            answer = await self._http.put(url, content=files[upload.path])
            assert answer.status_code == 200, answer.text
        return [pb.UploadedFile(path=upload.path, upload=upload.upload) for upload in uploads.uploads]

    async def upload(self, folder: str, files: Mapping[str, bytes]) -> list[pb.UploadedFile]:
        return await self.put(await self.create(folder, files), files)

    async def checkpoint(self, step: int, content: bytes = b"weights", best_step: int | None = None) -> None:
        uploaded = await self.upload(f"checkpoints/step-{step}", {"model.safetensors": content})
        await self.commit(step, uploaded, best_step)

    async def commit(self, step: int, uploaded: list[pb.UploadedFile], best_step: int | None = None) -> None:
        request = pb.CommitCheckpointRequest(
            attempt=self.attempt, step=step, epoch=1.0, files=uploaded, best_step=best_step
        )
        await self.call("CommitCheckpoint", request)

    async def finish(self, outcome: pb.Outcome.ValueType = pb.OUTCOME_SUCCEEDED, **fields: Any) -> Any:
        request = pb.FinishAttemptRequest(attempt=self.attempt, outcome=outcome, **fields)
        return (await self.call("FinishAttempt", request)).state

    async def succeed(self, artifact: str = "model", content: bytes = b"weights", **fields: Any) -> Any:
        """Uploads a small result and finishes with it."""
        uploaded = await self.upload(f"artifacts/{artifact}", {"model.safetensors": content})
        return await self.finish(
            artifacts=[pb.ArtifactUploads(artifact=artifact, files=uploaded)],
            metrics={"exact_match": 0.95},
            parameter_count=1234,
            **fields,
        )
