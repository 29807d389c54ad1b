"""`python -m visiontune_worker.preview` shows what training sees; see preview.proto.

A Deployment of its own in a cluster; else a child of the dataset service or of the trainer, which it hears by
a Unix socket and with which it ends.
"""

import faulthandler
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import torch
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from PIL import Image
from pydantic import AliasChoices, Field
from pydantic_settings import SettingsConfigDict
from visiontune.trainer.v1 import trainer_pb2
from visiontune.worker.v1 import preview_pb2 as pb
from visiontune.worker.v1 import preview_pb2_grpc
from visiontune_kit import logs
from visiontune_kit.settings import ServerSettings, read

from visiontune_worker import preview_pictures
from visiontune_worker.faults import ConfigurationFault, DataFault, EnvironmentFault, Fault, PassingFault
from visiontune_worker.settings import names, paths

_MOST_WAITING = 8
_MESSAGE_BYTES = 64 * 1024 * 1024 + 64 * 1024
_IDLE_CHECK_S = 0.2
# Who started it for a call tries to connect every two seconds.
_FIRST_CALL_WITHIN_S = 30.0
_CODES = {
    ConfigurationFault: grpc.StatusCode.INVALID_ARGUMENT,
    DataFault: grpc.StatusCode.INVALID_ARGUMENT,
    EnvironmentFault: grpc.StatusCode.FAILED_PRECONDITION,
    PassingFault: grpc.StatusCode.UNAVAILABLE,
}

log = logs.get(__name__)


class Settings(ServerSettings):
    """Read once in `main`; see ServerSettings for where values come from."""

    model_config = SettingsConfigDict(env_prefix="VISIONTUNE_PREVIEW_", populate_by_name=True)

    socket: Path | None = Field(
        None,
        description="Unix socket to listen on instead of host and port; it then ends with its stdin.",
    )
    idle_s: float = Field(0.0, ge=0, description="Seconds without a call after which it ends; 0: never.")
    call_most_s: float = Field(
        120.0, gt=0, description="Seconds after which it ends, with whatever call it is at work on."
    )
    memory_gib: float = Field(
        0.0, ge=0, description="GiB of memory of its own that it may take; 0: as much as there is."
    )
    model_roots: str = Field(
        "",
        validation_alias=AliasChoices("VISIONTUNE_PREVIEW_MODEL_ROOTS", "VISIONTUNE_WORKER_MODEL_ROOTS"),
        description=f"Folders from which a base model may be read, separated by '{os.pathsep}'.",
    )
    trusted_repositories: str = Field(
        "",
        validation_alias=AliasChoices(
            "VISIONTUNE_PREVIEW_TRUSTED_REPOSITORIES", "VISIONTUNE_WORKER_TRUSTED_REPOSITORIES"
        ),
        description="Hub repositories, and folders, whose own Python code may run, by commas.",
    )
    downloads: bool = Field(
        False, description="Whether processors of models on the Hub may be downloaded for a preview."
    )


class Turns:
    """One call is worked on at a time; one that takes too long ends the program, from whatever it is in."""

    def __init__(self, call_most_s: float) -> None:
        self._call_most_s = call_most_s
        self._at_work = threading.Lock()
        self._used_at = time.monotonic() + _FIRST_CALL_WITHIN_S

    @property
    def idle_s(self) -> float:
        """Seconds since the last call; 0 while one is worked on, and below that before the first one."""
        return 0.0 if self._at_work.locked() else time.monotonic() - self._used_at

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Waits for its turn."""
        with self._at_work:
            faulthandler.dump_traceback_later(self._call_most_s, exit=True)
            try:
                yield
            finally:
                faulthandler.cancel_dump_traceback_later()
                self._used_at = time.monotonic()


class Pictures(preview_pb2_grpc.AugmentationPreviewServiceServicer):
    """See preview.proto."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def PreviewPicture(  # noqa: N802, D102 - named and documented by the proto
        self, request: pb.PreviewPictureRequest, context: Any
    ) -> pb.PreviewPictureResponse:
        with self._turns.taken():
            try:
                return preview_pictures.show(request, context.is_active)
            except (OSError, ValueError, Image.DecompressionBombError, ConfigurationFault) as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"The picture cannot be shown: {error}")
                raise


class Examples(preview_pb2_grpc.ExamplePreviewServiceServicer):
    """See preview.proto."""

    def __init__(self, turns: Turns, settings: Settings) -> None:
        self._turns, self._settings = turns, settings
        self._examples: Any = None

    def PreviewExamples(  # noqa: N802, D102 - named and documented by the proto
        self, request: pb.PreviewExamplesRequest, context: Any
    ) -> trainer_pb2.PreviewTrainingExamplesResponse:
        with self._turns.taken():
            try:
                shown: trainer_pb2.PreviewTrainingExamplesResponse
                shown = self._loaded().show(request, context.is_active)
                return shown
            except Fault as fault:
                context.abort(_CODES[type(fault)], fault.message)
                raise
            except MemoryError:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "It takes more memory than previews have.")
                raise

    def _loaded(self) -> Any:
        if self._examples is None:
            # transformers takes seconds to load, which only examples need.
            from visiontune_worker import preview_examples  # noqa: PLC0415

            settings = self._settings
            allowed = preview_examples.Allowed(
                roots=paths(settings.model_roots),
                trusted=names(settings.trusted_repositories),
                downloads=settings.downloads,
            )
            self._examples = preview_examples.Examples(allowed)
        return self._examples


def serve(settings: Settings, turns: Turns) -> list[grpc.Server]:
    """Starts to listen; health has a port of its own, as a kubelet's probe speaks no TLS."""
    server = _server()
    preview_pb2_grpc.add_AugmentationPreviewServiceServicer_to_server(Pictures(turns), server)
    preview_pb2_grpc.add_ExamplePreviewServiceServicer_to_server(Examples(turns, settings), server)
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
    _limit(settings)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    turns = Turns(settings.call_most_s)
    servers = serve(settings, turns)
    log.info("preview_started")
    if settings.socket is not None:
        threading.Thread(target=_until_parent_ends, args=(ended,), daemon=True).start()
    while not ended.wait(_IDLE_CHECK_S):
        if settings.idle_s and turns.idle_s > settings.idle_s:
            break
    for each in servers:
        each.stop(settings.stop_grace_s if settings.socket is None else None).wait()
    log.info("preview_ended")


def _limit(settings: Settings) -> None:
    torch.set_num_threads(1)
    if not settings.downloads:
        os.environ["HF_HUB_OFFLINE"] = "1"  # read where transformers is first imported
    if settings.memory_gib:
        most = int(settings.memory_gib * 1024**3)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _until_parent_ends(ended: threading.Event) -> None:
    # Not by sys.stdin: Python could not end while a thread holds its lock.
    while os.read(sys.stdin.fileno(), 1):
        pass
    ended.set()


if __name__ == "__main__":
    main()
