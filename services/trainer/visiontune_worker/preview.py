"""`python -m visiontune_worker.preview` shows what a policy makes of pictures; see preview.proto.

A Deployment of its own in a cluster; else a child of the dataset service, which it hears by a Unix socket
and with which it ends.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import torch
from google.protobuf.json_format import MessageToDict
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from PIL import Image
from pydantic import Field
from pydantic_settings import SettingsConfigDict
from visiontune.worker.v1 import preview_pb2 as pb
from visiontune.worker.v1 import preview_pb2_grpc
from visiontune_data import pictures
from visiontune_kit import logs
from visiontune_kit.settings import ServerSettings, read
from visiontune_recipes.augmentation import Augmentation
from visiontune_recipes.presets import PRESETS

from visiontune_worker.augment import Augment
from visiontune_worker.faults import ConfigurationFault

# Larger pictures are varied reduced to this: memory stays bounded, and nobody sees the difference.
MOST_PIXELS = 12_000_000
# Where processors put a picture, by their families.
PIXELS = ("pixel_values", "pixel_values_images", "image_pixel_values")
_MOST_WAITING = 8
_MESSAGE_BYTES = 64 * 1024 * 1024 + 64 * 1024
_IDLE_CHECK_S = 0.2

log = logs.get(__name__)


class Settings(ServerSettings):
    """Read once in `main`; see ServerSettings for where values come from."""

    model_config = SettingsConfigDict(env_prefix="VISIONTUNE_PREVIEW_", populate_by_name=True)

    socket: Path | None = Field(
        None,
        description="Unix socket to listen on instead of host and port; it then ends with its stdin.",
    )
    idle_s: float = Field(0.0, ge=0, description="Seconds without a call after which it ends; 0: never.")


class Preview(preview_pb2_grpc.AugmentationPreviewServiceServicer):
    """See preview.proto."""

    def __init__(self) -> None:
        self._at_work = threading.Lock()
        self._used_at = time.monotonic()

    @property
    def idle_s(self) -> float:
        """Seconds since the last call; 0 while one is worked on."""
        return 0.0 if self._at_work.locked() else time.monotonic() - self._used_at

    def PreviewPicture(  # noqa: N802, D102 - named and documented by the proto
        self, request: pb.PreviewPictureRequest, context: Any
    ) -> pb.PreviewPictureResponse:
        with self._at_work:
            try:
                return _preview(request, context.is_active)
            except (OSError, ValueError, Image.DecompressionBombError, ConfigurationFault) as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"The picture cannot be shown: {error}")
                raise
            finally:
                self._used_at = time.monotonic()


def _preview(request: pb.PreviewPictureRequest, wanted: Callable[[], bool]) -> pb.PreviewPictureResponse:
    """Stops early when nobody waits for the answer any more."""
    policy = MessageToDict(request.augmentation, preserving_proto_field_name=True)
    augment = Augment(Augmentation.model_validate(policy), request.seed)
    picture = _bounded(pictures.read(request.data))
    seen = _seen_by(request.model_preset) if request.model_preset else _fitting(request.side_px)
    original = seen(picture)
    answer = pb.PreviewPictureResponse(
        original=pictures.encode(original), width_px=original.width, height_px=original.height
    )
    for epoch in request.epochs:
        if not wanted():
            break
        changed = augment(picture, epoch=epoch, row=request.row, index=request.index)
        answer.augmented.append(pictures.encode(seen(changed)))
    return answer


def _bounded(picture: Image.Image) -> Image.Image:
    share = (MOST_PIXELS / (picture.width * picture.height)) ** 0.5
    return picture if share >= 1 else _fitting(int(max(picture.size) * share))(picture)


def _fitting(side_px: int) -> Callable[[Image.Image], Image.Image]:
    def fit(picture: Image.Image) -> Image.Image:
        small = picture.copy()
        small.thumbnail((side_px, side_px))
        return small

    return fit


def _seen_by(model_preset: str) -> Callable[[Image.Image], Image.Image]:
    """What a preset's image processor makes of a picture, before it becomes numbers around 0.

    Of a picture in tiles the one that shows the whole; of one in patches the size that it is scaled to.
    """
    from visiontune_worker import presets  # noqa: PLC0415 - transformers takes seconds to load

    processor = presets.image_processor(PRESETS[model_preset])

    def see(picture: Image.Image) -> Image.Image:
        found = processor(picture, do_rescale=False, do_normalize=False, return_tensors="pt")
        if "image_grid_thw" in found:
            _, rows, columns = found["image_grid_thw"][0].tolist()
            side_px = processor.patch_size
            return picture.resize((columns * side_px, rows * side_px), processor.resample)
        pixels = next(found[name] for name in PIXELS if name in found)
        tiles = (
            pixels.reshape(-1, *pixels.shape[-3:]).permute(0, 2, 3, 1).round().clamp(0, 255).byte().numpy()
        )
        whole = np.asarray(picture.resize((tiles.shape[2], tiles.shape[1])), np.int16)
        return Image.fromarray(tiles[int(np.abs(tiles - whole).mean((1, 2, 3)).argmin())])

    return see


def serve(settings: Settings, preview: Preview) -> list[grpc.Server]:
    """Starts to listen; health has a port of its own, as a kubelet's probe speaks no TLS."""
    server = _server()
    preview_pb2_grpc.add_AugmentationPreviewServiceServicer_to_server(preview, server)
    if settings.socket is not None:
        server.add_insecure_port(f"unix:{settings.socket}")
    elif credentials := _credentials(settings):
        server.add_secure_port(f"{settings.host}:{settings.port}", credentials)
    else:
        server.add_insecure_port(f"{settings.host}:{settings.port}")
    servers = [server]
    if settings.health_port:
        checks = health.HealthServicer()
        checks.set("", health_pb2.HealthCheckResponse.SERVING)
        servers.append(_server())
        health_pb2_grpc.add_HealthServicer_to_server(checks, servers[-1])
        servers[-1].add_insecure_port(f"{settings.host}:{settings.health_port}")
    for each in servers:
        each.start()
    return servers


def _server() -> grpc.Server:
    """One call at a time; those that find too many waiting are refused."""
    return grpc.server(
        ThreadPoolExecutor(1),
        options=[("grpc.max_receive_message_length", _MESSAGE_BYTES), ("grpc.so_reuseport", 0)],
        maximum_concurrent_rpcs=_MOST_WAITING,
    )


def _credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """None without a certificate, which means plain text."""
    if not (settings.tls_certificate_file and settings.tls_key_file):
        return None
    callers_ca = settings.tls_ca_file.read_bytes() if settings.tls_ca_file else None
    pair = (settings.tls_key_file.read_bytes(), settings.tls_certificate_file.read_bytes())
    return grpc.ssl_server_credentials([pair], callers_ca, require_client_auth=callers_ca is not None)


def main() -> None:
    """Serves until it is told to end, or its parent is gone, or nobody has called for long."""
    settings = read(Settings)
    logs.configure("preview", level=settings.log_level, format=settings.log_format)
    torch.set_num_threads(1)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    preview = Preview()
    servers = serve(settings, preview)
    log.info("preview_started")
    if settings.socket is not None:
        threading.Thread(target=_until_parent_ends, args=(ended,), daemon=True).start()
    while not ended.wait(_IDLE_CHECK_S):
        if settings.idle_s and preview.idle_s > settings.idle_s:
            break
    for each in servers:
        each.stop(settings.stop_grace_s if settings.socket is None else None).wait()
    log.info("preview_ended")


def _until_parent_ends(ended: threading.Event) -> None:
    # Not by sys.stdin: Python could not end while a thread holds its lock.
    while os.read(sys.stdin.fileno(), 1):
        pass
    ended.set()


if __name__ == "__main__":
    main()
