"""The wiring: the one place that constructs things."""

import asyncio
from datetime import timedelta

import httpx
from google.longrunning import operations_pb2_grpc
from visiontune.dataset.v1 import dataset_pb2_grpc
from visiontune_data.ingest import Options
from visiontune_kit import channels
from visiontune_kit.clock import Clock, SystemClock
from visiontune_kit.database import Database
from visiontune_kit.operations import Operations, Run
from visiontune_kit.server import Program, Rpc
from visiontune_kit.tokens import ServiceTokens, TokenMinter, TokenVerifier

from visiontune_dataset import rpc
from visiontune_dataset.adapters.database import UnitOfWork
from visiontune_dataset.adapters.export_process import ProcessExporter
from visiontune_dataset.adapters.image_links import JwtLinks
from visiontune_dataset.adapters.import_process import ProcessImporter
from visiontune_dataset.adapters.imports import DurableExportRun, DurableImports, DurableRun
from visiontune_dataset.adapters.indexes import PreviewIndexes
from visiontune_dataset.adapters.preview import ChildPreviewer, RemotePreviewer
from visiontune_dataset.adapters.rewrite_process import ProcessRewriter
from visiontune_dataset.adapters.rows import RangeRowReader
from visiontune_dataset.adapters.storage import StorageClient
from visiontune_dataset.adapters.trainer import NoTrainer, TrainerClient
from visiontune_dataset.domain.drafts import CommitJob
from visiontune_dataset.domain.exports import ExportJob
from visiontune_dataset.domain.filters import FilterJob
from visiontune_dataset.domain.imports import ImportJob
from visiontune_dataset.ports import Deps, Rules
from visiontune_dataset.settings import Settings
from visiontune_dataset.use_cases import commits, datasets, deletion, drafts, exports, filters, imports

_ISSUER = "visiontune-dataset"
_HTTP_TIMEOUT_S = 60.0
_SWEEP_INTERVAL_S = 60.0


def build(settings: Settings, clock: Clock | None = None) -> Program:
    """Returns the program, ready to serve. Nothing connects before its first call."""
    clock = clock or SystemClock()
    database = Database.open(settings.database_url, settings.database_connections)
    http = httpx.AsyncClient(timeout=_HTTP_TIMEOUT_S, follow_redirects=False, trust_env=False)
    tokens, tls = _tokens(settings), settings.client_tls
    storage = StorageClient(channels.connect(settings.storage_target, tokens=tokens, tls=tls), http)
    trainer = settings.trainer_target and channels.connect(settings.trainer_target, tokens=tokens, tls=tls)
    rows = RangeRowReader(storage, http, clock, settings.row_cache_bytes)
    running = DurableImports()
    child = ChildPreviewer(settings.worker_python, settings.preview_idle_s)
    preview_target = settings.preview_target
    deps = Deps(
        unit_of_work=lambda: UnitOfWork(database),
        storage=storage,
        jobs=TrainerClient(trainer) if trainer else NoTrainer(),
        imports=running,
        importer=ProcessImporter(settings.allowed_image_hosts),
        rewriter=ProcessRewriter(),
        exporter=ProcessExporter(),
        rows=rows,
        indexes=PreviewIndexes(rows, settings.index_cache_bytes),
        previewer=RemotePreviewer(preview_target, settings.client_tls) if preview_target else child,
        links=_links(settings),
        clock=clock,
        rules=rules_of(settings),
    )
    operations = running.operations = _operations(database, deps, settings, clock)

    async def sweep_for_ever() -> None:
        while True:
            await datasets.sweep(deps)
            await drafts.sweep(deps)
            await exports.sweep(deps)
            await deletion.sweep(deps)
            await asyncio.sleep(_SWEEP_INTERVAL_S)

    return Program(
        name="dataset",
        settings=settings,
        rpcs=[
            Rpc(rpc.NAME, dataset_pb2_grpc.add_DatasetServiceServicer_to_server, rpc.DatasetService(deps)),
            Rpc(
                rpc.OPERATIONS,
                operations_pb2_grpc.add_OperationsServicer_to_server,
                operations.servicer(),
            ),
        ],
        access=rpc.ACCESS,
        database=database,
        background=[operations.run, sweep_for_ever, child.end_at_shutdown],
        unscoped=rpc.UNSCOPED,
    )


def rules_of(settings: Settings) -> Rules:
    """Returns what the operator decides, as the use cases take it."""
    return Rules(
        options=Options(
            processes=settings.import_processes,
            shard_bytes=settings.shard_bytes,
            frames_per_video=settings.frames_per_video,
            limits=settings.limits(),
        ),
        datasets_per_project=settings.datasets_per_project,
        vision_enabled=settings.enable_vision_training,
        scratch=settings.scratch_dir,
        undo_window=timedelta(seconds=settings.undo_window_s),
    )


def _operations(database: Database, deps: Deps, settings: Settings, clock: Clock) -> Operations:
    async def run_import(run: Run) -> None:
        await imports.run_import(DurableRun(run, ImportJob.from_bytes(run.payload)), deps)

    async def clean_up_import(run: Run) -> None:
        await imports.clean_up(ImportJob.from_bytes(run.payload), deps)

    async def run_commit(run: Run) -> None:
        await commits.run_commit(DurableRun(run, CommitJob.from_bytes(run.payload)), deps)

    async def run_filter(run: Run) -> None:
        await filters.run_filter(DurableRun(run, FilterJob.from_bytes(run.payload)), deps)

    async def clean_up_filter(run: Run) -> None:
        await filters.clean_up(FilterJob.from_bytes(run.payload), deps)

    async def run_export(run: Run) -> None:
        await exports.run_export(DurableExportRun(run, ExportJob.from_bytes(run.payload)), deps)

    async def clean_up_export(run: Run) -> None:
        await exports.clean_up(ExportJob.from_bytes(run.payload), deps)

    async def clean_up_commit(run: Run) -> None:
        await commits.clean_up(CommitJob.from_bytes(run.payload), deps)

    return Operations(
        database,
        {
            ImportJob.kind: run_import,
            CommitJob.kind: run_commit,
            FilterJob.kind: run_filter,
            ExportJob.kind: run_export,
        },
        cleanups={
            ImportJob.kind: clean_up_import,
            CommitJob.kind: clean_up_commit,
            FilterJob.kind: clean_up_filter,
            ExportJob.kind: clean_up_export,
        },
        clock=clock,
        lease_s=settings.operation_lease_s,
        concurrency=settings.import_concurrency,
    )


def _links(settings: Settings) -> JwtLinks | None:
    key, issuers = settings.signing_key_file, settings.issuers_file
    if not (settings.public_base_url and key and issuers):
        return None
    minter, verifier = TokenMinter.from_file(key, _ISSUER), TokenVerifier.from_file(issuers)
    return JwtLinks(settings.public_base_url, minter, verifier)


def _tokens(settings: Settings) -> ServiceTokens | None:
    """Returns how this service says who it is; None when the operator gave it no key."""
    if settings.signing_key_file is None:
        return None
    return ServiceTokens(TokenMinter.from_file(settings.signing_key_file, _ISSUER), "dataset")
