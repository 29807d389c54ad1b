"""The program that augments pictures, over gRPC: wherever it runs, or as a child of this one on demand."""

import sys
from importlib.util import find_spec
from pathlib import Path

import grpc
from google.protobuf.json_format import ParseDict
from visiontune.worker.v1 import preview_pb2 as pb
from visiontune.worker.v1.preview_pb2_grpc import AugmentationPreviewServiceStub
from visiontune_kit import channels
from visiontune_kit.helper import Helper
from visiontune_kit.tls import ClientTls

from visiontune_dataset.domain.failures import PreviewNotInstalled
from visiontune_dataset.ports import ShownPicture, View

_NEEDED = ("visiontune_worker", "torchvision")
# A child loads torch first, and pictures may be large; the caller's own deadline counts all the same.
_TIMEOUT_S = 120.0
# Past which a child is killed, which is to come first.
_RESERVE_S = 10.0


class RemotePreviewer:
    """Implements `ports.Previewer` by a server that somebody else runs."""

    def __init__(self, target: str, tls: ClientTls | None = None) -> None:
        self._channel = channels.connect(target, tls=tls)

    async def show(self, picture: bytes, view: View) -> ShownPicture:
        """Asks PreviewPicture."""
        return await _ask(self._channel, _request(picture, view), _TIMEOUT_S)


class ChildPreviewer:
    """Implements `ports.Previewer` by a child process of that Python."""

    def __init__(self, python: Path, idle_s: float) -> None:
        self._needed = _NEEDED if python == Path(sys.executable) else ()  # another's cannot be seen from here
        command = (str(python), "-m", "visiontune_worker.preview")
        told = {"VISIONTUNE_PREVIEW_IDLE_S": str(idle_s)}
        self._helper = Helper(
            command, told, socket_variable="VISIONTUNE_PREVIEW_SOCKET", timeout_s=_TIMEOUT_S
        )

    async def show(self, picture: bytes, view: View) -> ShownPicture:
        """Asks PreviewPicture of the child. Raises PreviewNotInstalled, HelperFailed, HelperBusy."""
        for name in self._needed:
            if find_spec(name) is None:
                raise PreviewNotInstalled(name)
        request = _request(picture, view)
        return await self._helper.ask(
            lambda channel: _ask(channel, request, _TIMEOUT_S + _RESERVE_S, wait_for_ready=True)
        )

    async def end_at_shutdown(self) -> None:
        """Waits to be cancelled, and ends the child then."""
        await self._helper.end_at_shutdown()


async def _ask(
    channel: grpc.aio.Channel,
    request: pb.PreviewPictureRequest,
    timeout_s: float,
    *,
    wait_for_ready: bool = False,
) -> ShownPicture:
    stub = AugmentationPreviewServiceStub(channel)
    answer = await stub.PreviewPicture(request, wait_for_ready=wait_for_ready, timeout=timeout_s)
    return ShownPicture(answer.original, list(answer.augmented), answer.width_px, answer.height_px)


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
