"""The methods of WorkerService: make sure who speaks, parse, call one use case, reply."""

# ruff: noqa: N802, D102 - RPC methods are named and documented by the proto

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from visiontune.dataset.v1.dataset_pb2 import ReadManifest
from visiontune.worker.v1 import worker_pb2 as pb
from visiontune.worker.v1 import worker_pb2_grpc
from visiontune_kit import identity
from visiontune_kit.errors import PermissionDenied
from visiontune_kit.identity import Kind, Principal, Role
from visiontune_kit.server import ShuttingDown

from visiontune_trainer import worker_wire as wire
from visiontune_trainer.domain.job import project_of
from visiontune_trainer.use_cases import attempts, files
from visiontune_trainer.use_cases.deps import Deps

NAME = "visiontune.worker.v1.WorkerService"


class OtherAttempt(PermissionDenied):
    """A worker speaks for itself only."""

    def __init__(self, attempt: str) -> None:
        super().__init__(f"This token does not belong to {attempt}.", resource=attempt)


class WorkerService(worker_pb2_grpc.WorkerServiceServicer):
    """See worker.proto."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def authenticate(self, token: str) -> Principal:
        """Believes tokens of attempts; whether the attempt is still current is asked in each call.

        A machine's own token is believed for ExchangeToken alone, for which its subject is made.
        """
        if not token.startswith(attempts.TOKEN_PREFIX):
            name = await self._deps.backend.attempt_of(token)
            return Principal(_machine_of(name), project_of(name), Role.EDITOR, Kind.WORKER)
        attempt = await attempts.authenticate(token, self._deps)
        return Principal(attempt.name, project_of(attempt.job), Role.EDITOR, Kind.WORKER)

    async def ExchangeToken(self, request: pb.ExchangeTokenRequest, context: Any) -> pb.ExchangeTokenResponse:
        if identity.current().subject != _machine_of(request.attempt):
            raise OtherAttempt(request.attempt)
        return pb.ExchangeTokenResponse(token=await attempts.issue_token(request.attempt, self._deps))

    async def ClaimAttempt(self, request: pb.ClaimAttemptRequest, context: Any) -> pb.ClaimAttemptResponse:
        attempt = _own(request.attempt)
        return wire.claim_to(await attempts.claim(attempt, request.worker_id, self._deps))

    async def Report(
        self, request_iterator: AsyncIterator[pb.ReportRequest], context: Any
    ) -> AsyncIterator[pb.ReportResponse]:
        async for request in _until(self._deps.dismissed, request_iterator):
            _own(request.attempt)
            report = wire.report_from(request)
            yield wire.acknowledgement_to(await attempts.record_report(report, self._deps))

    async def RenewReadManifest(self, request: pb.RenewReadManifestRequest, context: Any) -> ReadManifest:
        return wire.manifest_to(await attempts.renew_manifest(_own(request.attempt), self._deps))

    async def CreateFileUploads(
        self, request: pb.CreateFileUploadsRequest, context: Any
    ) -> pb.CreateFileUploadsResponse:
        new_files = wire.new_files_from(request)
        uploads = await files.create_uploads(_own(request.attempt), request.folder, new_files, self._deps)
        return wire.uploads_to(uploads)

    async def CommitCheckpoint(
        self, request: pb.CommitCheckpointRequest, context: Any
    ) -> pb.CommitCheckpointResponse:
        _own(request.attempt)
        await files.commit_checkpoint(wire.commit_from(request), self._deps)
        return pb.CommitCheckpointResponse()

    async def FinishAttempt(self, request: pb.FinishAttemptRequest, context: Any) -> pb.FinishAttemptResponse:
        _own(request.attempt)
        return wire.finished_to(await attempts.finish(wire.finish_from(request), self._deps))


def _machine_of(attempt: str) -> str:
    """Subject of the machine that runs an attempt; differs from that of the attempt's worker."""
    return f"{attempt}/machine"


def _own(attempt: str) -> str:
    """Returns the attempt. Raises OtherAttempt when the caller is another one's worker."""
    if identity.current().subject != attempt:
        raise OtherAttempt(attempt)
    return attempt


async def _until(
    dismissed: asyncio.Event, requests: AsyncIterator[pb.ReportRequest]
) -> AsyncIterator[pb.ReportRequest]:
    """Passes requests on; raises ShuttingDown once workers are dismissed, however silent the stream is."""
    iterator = aiter(requests)
    stop = asyncio.ensure_future(dismissed.wait())
    following = asyncio.ensure_future(anext(iterator, None))
    try:
        while True:
            await asyncio.wait({following, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                raise ShuttingDown
            request = following.result()
            if request is None:
                return
            yield request
            following = asyncio.ensure_future(anext(iterator, None))
    finally:
        stop.cancel()
        following.cancel()
        await asyncio.gather(stop, following, return_exceptions=True)
