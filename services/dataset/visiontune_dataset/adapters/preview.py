"""The program that augments pictures, over gRPC: wherever it runs, or as a child of this one on demand."""

import asyncio
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import grpc
from google.protobuf.json_format import ParseDict
from visiontune.worker.v1 import preview_pb2 as pb
from visiontune.worker.v1.preview_pb2_grpc import AugmentationPreviewServiceStub
from visiontune_kit import channels, errors, logs
from visiontune_kit.tls import ClientTls

from visiontune_dataset.domain.failures import PreviewFailed, PreviewNotInstalled
from visiontune_dataset.ports import ShownPicture, View

_COMMAND = (sys.executable, "-m", "visiontune_worker.preview")
_NEEDED = ("visiontune_worker", "torchvision")
_TRIES = 2
# A child loads torch first, and pictures may be large; the caller's own deadline counts all the same.
_TIMEOUT_S = 120.0
_ENDS_WITHIN_S = 5.0
_NOTICED_WITHIN_S = 1.0
# It decodes what users bring: of our variables, which may be secrets, it gets none but its own.
_PRIVATE = ("VISIONTUNE_", "AWS_", "PG")

log = logs.get(__name__)


class RemotePreviewer:
    """Implements `ports.Previewer` by a server that somebody else runs."""

    def __init__(self, target: str, tls: ClientTls | None = None) -> None:
        self._stub = AugmentationPreviewServiceStub(channels.connect(target, tls=tls))

    async def show(self, picture: bytes, view: View) -> ShownPicture:
        """Asks PreviewPicture."""
        return _shown(await self._stub.PreviewPicture(_request(picture, view), timeout=_TIMEOUT_S))


@dataclass(frozen=True)
class _Child:
    process: Process
    folder: Path
    channel: grpc.aio.Channel


class _Ended(Exception):  # noqa: N818 (named for what happened)
    """The child ended before it had answered."""


class ChildPreviewer:
    """Implements `ports.Previewer` by a child process, which ends when it is idle for long, or with us.

    Whatever ends it, the next call starts another.
    """

    def __init__(
        self, idle_s: float, command: Sequence[str] = _COMMAND, needed: Sequence[str] = _NEEDED
    ) -> None:
        self._idle_s, self._command, self._needed = idle_s, tuple(command), tuple(needed)
        self._one_at_a_time = asyncio.Lock()
        self._child: _Child | None = None

    async def show(self, picture: bytes, view: View) -> ShownPicture:
        """Asks PreviewPicture of the child. Raises PreviewNotInstalled, PreviewFailed."""
        for name in self._needed:
            if find_spec(name) is None:
                raise PreviewNotInstalled(name)
        request = _request(picture, view)
        async with self._one_at_a_time:
            exit_code = 0
            for _ in range(_TRIES):
                child = await self._running()
                try:
                    return _shown(await _ask(child, request))
                except _Ended:
                    exit_code = await child.process.wait()
                    log.warning("preview_child_ended", exit_code=exit_code)
        raise PreviewFailed(exit_code)

    async def end_at_shutdown(self) -> None:
        """Waits to be cancelled, and ends the child then."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self._drop()

    async def _running(self) -> _Child:
        """The child, or another one where it has ended."""
        if self._child is not None and self._child.process.returncode is None:
            return self._child
        await self._drop()
        folder = Path(tempfile.mkdtemp(prefix="visiontune-preview-"))  # nobody else may enter it
        socket = folder / "socket"
        own = {
            "VISIONTUNE_PREVIEW_SOCKET": str(socket),
            "VISIONTUNE_PREVIEW_IDLE_S": str(self._idle_s),
        }
        others = {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE)}
        process = await asyncio.create_subprocess_exec(
            *self._command, env={**others, **own}, cwd=folder, stdin=PIPE, stdout=DEVNULL
        )
        self._child = _Child(process, folder, channels.connect(f"unix:{socket}"))
        log.info("preview_child_started", pid=process.pid)
        return self._child

    async def _drop(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        await child.channel.close(None)
        if child.process.stdin is not None:
            child.process.stdin.close()
        try:
            async with asyncio.timeout(_ENDS_WITHIN_S):
                await child.process.wait()
        except TimeoutError:
            child.process.kill()
            await child.process.wait()
        shutil.rmtree(child.folder, ignore_errors=True)


async def _ask(child: _Child, request: pb.PreviewPictureRequest) -> pb.PreviewPictureResponse:
    """The child's answer. Raises _Ended when it ends first; a child that is starting is waited for."""
    stub = AugmentationPreviewServiceStub(child.channel)
    asked = asyncio.ensure_future(stub.PreviewPicture(request, wait_for_ready=True, timeout=_TIMEOUT_S))
    ended = asyncio.ensure_future(child.process.wait())
    try:
        await asyncio.wait({asked, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not asked.done():
            raise _Ended
        try:
            return await asked
        except errors.Unavailable:
            # The connection may break a moment before the process is seen to have ended.
            await asyncio.wait({ended}, timeout=_NOTICED_WITHIN_S)
            if ended.done():
                raise _Ended from None
            raise
    finally:
        asked.cancel()
        ended.cancel()


def _request(picture: bytes, view: View) -> pb.PreviewPictureRequest:
    request = pb.PreviewPictureRequest(
        data=picture,
        seed=view.seed,
        row=view.row,
        epochs=view.epochs,
        model_preset=view.model_preset,
        side_px=view.side_px,
    )
    ParseDict(view.augmentation.model_dump(mode="json", exclude_none=True), request.augmentation)
    return request


def _shown(answer: pb.PreviewPictureResponse) -> ShownPicture:
    return ShownPicture(answer.original, list(answer.augmented), answer.width_px, answer.height_px)
