"""The program that encodes training examples, over gRPC: wherever it runs, or as a child on demand."""

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import grpc
from visiontune.trainer.v1 import trainer_pb2
from visiontune.worker.v1 import preview_pb2 as pb
from visiontune.worker.v1.preview_pb2_grpc import ExamplePreviewServiceStub
from visiontune_kit import channels, errors
from visiontune_kit.helper import Helper
from visiontune_kit.tls import ClientTls

from visiontune_trainer import wire, worker_wire
from visiontune_trainer.domain.problems import PreviewNotInstalled, PreviewRefused
from visiontune_trainer.preview_ports import Preview, Shown, ShownExample, ShownInput

_NEEDED = ("visiontune_worker", "transformers")
# Past which a child is killed, which is to come first.
_RESERVE_S = 10.0


class RemotePreviewer:
    """Implements `Previewer` by a server that somebody else runs."""

    def __init__(self, target: str, timeout_s: float, tls: ClientTls | None = None) -> None:
        self._channel = channels.connect(target, tls=tls)
        self._timeout_s = timeout_s

    async def show(self, preview: Preview) -> Shown:
        """Asks PreviewExamples."""
        return await _ask(self._channel, _request(preview), self._timeout_s)


class ChildPreviewer:
    """Implements `Previewer` by a child process of that Python. environment: what it is told."""

    def __init__(self, python: Path, environment: Mapping[str, str], timeout_s: float) -> None:
        self._needed = _NEEDED if python == Path(sys.executable) else ()  # another's cannot be seen from here
        self._timeout_s = timeout_s
        command = (str(python), "-m", "visiontune_worker.preview")
        self._helper = Helper(
            command, environment, socket_variable="VISIONTUNE_PREVIEW_SOCKET", timeout_s=timeout_s
        )

    async def show(self, preview: Preview) -> Shown:
        """Asks PreviewExamples of the child."""
        for name in self._needed:
            if find_spec(name) is None:
                raise PreviewNotInstalled(name)
        request = _request(preview)
        return await self._helper.ask(
            lambda channel: _ask(channel, request, self._timeout_s + _RESERVE_S, wait_for_ready=True)
        )

    async def end_at_shutdown(self) -> None:
        """Waits to be cancelled, and ends the child then."""
        await self._helper.end_at_shutdown()


async def _ask(
    channel: grpc.aio.Channel,
    request: pb.PreviewExamplesRequest,
    timeout_s: float,
    *,
    wait_for_ready: bool = False,
) -> Shown:
    stub = ExamplePreviewServiceStub(channel)
    try:
        answer = await stub.PreviewExamples(request, wait_for_ready=wait_for_ready, timeout=timeout_s)
    except (errors.InvalidArgument, errors.FailedPrecondition) as error:
        raise PreviewRefused(error.message) from error
    return Shown(
        max_length=answer.max_length,
        examples=tuple(_example(each) for each in answer.examples),
        message=answer.SerializeToString(),
    )


def _example(message: trainer_pb2.ExamplePreview) -> ShownExample:
    inputs = (
        ShownInput(each.token_count, each.excess_image_token_count, each.excess_trained_token_count)
        for each in message.inputs
    )
    return ShownExample(message.example, message.id, tuple(inputs))


def _request(preview: Preview) -> pb.PreviewExamplesRequest:
    return pb.PreviewExamplesRequest(
        spec=wire.spec_to(preview.spec),
        manifest=worker_wire.manifest_to(preview.manifest),
        model_files=[worker_wire.model_files_to(each) for each in preview.model_files],
        adapter_base=None if preview.adapter_base is None else wire.base_to(preview.adapter_base),
        resume_from=worker_wire.checkpoint_to(preview.resume_from),
        rows=preview.rows,
        count=preview.count,
    )
