"""The wiring: the one place that constructs things."""

import secrets

from visiontune.trainer.v1 import trainer_pb2_grpc
from visiontune.worker.v1 import worker_pb2_grpc
from visiontune_kit import channels
from visiontune_kit.clock import Clock, SystemClock
from visiontune_kit.database import Database
from visiontune_kit.server import Program, Rpc
from visiontune_kit.tokens import ServiceTokens, TokenMinter

from visiontune_trainer import rpc, worker_rpc
from visiontune_trainer.adapters.database import UnitOfWork
from visiontune_trainer.adapters.datasets import DatasetClient
from visiontune_trainer.adapters.hub_configs import HubConfigs
from visiontune_trainer.adapters.model_folders import ModelFolders
from visiontune_trainer.adapters.preview import ChildPreviewer, RemotePreviewer
from visiontune_trainer.adapters.storage import StorageClient
from visiontune_trainer.compute.backend import BACKENDS
from visiontune_trainer.ports import Backend
from visiontune_trainer.settings import Settings
from visiontune_trainer.use_cases import attempt_logs, sweep
from visiontune_trainer.use_cases.attempts import TOKEN_PREFIX
from visiontune_trainer.use_cases.deps import Deps
from visiontune_trainer.use_cases.reconcile import Reconciler

_ISSUER = "visiontune-trainer"


def build(settings: Settings, clock: Clock | None = None, backend: Backend | None = None) -> Program:
    """Returns the program, ready to serve. Nothing connects before its first call."""
    database = Database.open(settings.database_url, settings.database_connections)
    tokens = _tokens(settings)
    child = ChildPreviewer(settings.worker_python, settings.preview_environment(), settings.preview_most_s)
    deps = Deps(
        unit_of_work=lambda: UnitOfWork(database),
        storage=StorageClient(
            channels.connect(settings.storage_target, tokens=tokens, tls=settings.client_tls)
        ),
        datasets=DatasetClient(
            channels.connect(settings.dataset_target, tokens=tokens, tls=settings.client_tls)
        ),
        model_folders=ModelFolders(settings.roots()),
        previewer=_remote(settings) or child,
        hub_configs=HubConfigs(enabled=settings.read_hub),
        backend=backend or BACKENDS[settings.backend](settings),
        clock=clock or SystemClock(),
        replica=secrets.token_hex(8),
        new_token=lambda: TOKEN_PREFIX + secrets.token_urlsafe(32),
        policy=settings.policy(),
        heartbeat_interval_s=settings.heartbeat_interval_s,
        vision_enabled=settings.enable_vision_training,
        model_roots=settings.roots(),
    )
    workers = worker_rpc.WorkerService(deps)
    reconciler = Reconciler(deps)

    async def sweep_for_ever() -> None:
        await sweep.run(deps)

    async def keep_logs_for_ever() -> None:
        await attempt_logs.run(deps)

    return Program(
        name="trainer",
        settings=settings,
        rpcs=[
            Rpc(rpc.NAME, trainer_pb2_grpc.add_TrainerServiceServicer_to_server, rpc.TrainerService(deps)),
            Rpc(
                worker_rpc.NAME,
                worker_pb2_grpc.add_WorkerServiceServicer_to_server,
                workers,
                authenticate=workers.authenticate,
                own_port=settings.worker_port,
            ),
        ],
        access=rpc.ACCESS,
        database=database,
        background=[reconciler.run, sweep_for_ever, keep_logs_for_ever, child.end_at_shutdown],
        unscoped=rpc.UNSCOPED,
    )


def _remote(settings: Settings) -> RemotePreviewer | None:
    """Returns the program that shows examples, where one runs elsewhere."""
    if not settings.preview_target:
        return None
    return RemotePreviewer(settings.preview_target, settings.preview_most_s, settings.client_tls)


def _tokens(settings: Settings) -> ServiceTokens | None:
    """Returns how this service says who it is; None when the operator gave it no key."""
    if settings.signing_key_file is None:
        return None
    return ServiceTokens(TokenMinter.from_file(settings.signing_key_file, _ISSUER), "trainer")
