"""The wiring: the one place that constructs things."""

import asyncio
import secrets
from datetime import timedelta

from google.longrunning import operations_pb2_grpc
from minio.credentials.providers import Provider, StaticProvider
from visiontune.storage.v1 import storage_pb2_grpc
from visiontune_kit.clock import Clock, SystemClock
from visiontune_kit.database import Database
from visiontune_kit.operations import Operations, Run
from visiontune_kit.server import Program, Rpc

from visiontune_storage import rpc
from visiontune_storage.adapters import bucket_setup
from visiontune_storage.adapters.collections import DurableCollections, DurableRun
from visiontune_storage.adapters.credentials import FileCredentials
from visiontune_storage.adapters.database import UnitOfWork
from visiontune_storage.adapters.object_store import Bucket, MinioStore
from visiontune_storage.adapters.quotas import Defaults
from visiontune_storage.adapters.store_metrics import StoreMetrics
from visiontune_storage.domain.garbage import KIND
from visiontune_storage.domain.in_flight import InFlight
from visiontune_storage.domain.uploads import PartPlan
from visiontune_storage.ports import Deps, Rules
from visiontune_storage.settings import Settings
from visiontune_storage.use_cases import collect, egress, usage
from visiontune_storage.use_cases.sweep import sweep

_LOOK_EVERY_S = 3_600  # whether the next collection is due


def build(settings: Settings, clock: Clock | None = None) -> Program:
    """Returns the program, ready to serve. Nothing connects before its first call."""
    database = Database.open(settings.database_url, settings.database_connections)
    store = MinioStore(bucket_of(settings))
    defaults = Defaults(
        limit_bytes=settings.default_limit_bytes,
        limit_objects=settings.default_limit_objects,
        limit_pending_uploads=settings.default_limit_pending_uploads,
    )
    collections = DurableCollections()
    deps = Deps(
        unit_of_work=lambda: UnitOfWork(database, defaults),
        objects=store,
        metrics=StoreMetrics(settings.bucket),
        collections=collections,
        clock=clock or SystemClock(),
        new_key=_new_key,
        in_flight=InFlight(settings.small_uploads_memory_bytes),
        rules=rules_of(settings),
    )

    operations = collections.operations = _operations(database, deps, settings)

    async def until_ready() -> None:
        await bucket_setup.until_ready(store)

    async def sweep_for_ever() -> None:
        while True:
            await sweep(deps)
            await usage.sample(deps)
            await egress.count(deps)
            await asyncio.sleep(settings.sweep_interval_s)

    async def collect_for_ever() -> None:
        while settings.collect_interval_s:
            await collect.start_scheduled(timedelta(seconds=settings.collect_interval_s), deps)
            await asyncio.sleep(min(settings.collect_interval_s, _LOOK_EVERY_S))

    return Program(
        name="storage",
        settings=settings,
        rpcs=[
            Rpc(rpc.NAME, storage_pb2_grpc.add_StorageServiceServicer_to_server, rpc.StorageService(deps)),
            Rpc(
                rpc.OPERATIONS,
                operations_pb2_grpc.add_OperationsServicer_to_server,
                operations.servicer(),
            ),
        ],
        access=rpc.ACCESS,
        unscoped=rpc.UNSCOPED,
        cross_project=rpc.CROSS_PROJECT,
        database=database,
        background=[operations.run, sweep_for_ever, collect_for_ever],
        until_ready=until_ready,
    )


def _operations(database: Database, deps: Deps, settings: Settings) -> Operations:
    async def run(run: Run) -> None:
        await collect.collect(DurableRun(run), deps)

    return Operations(database, {KIND: run}, clock=deps.clock, lease_s=settings.operation_lease_s)


def bucket_of(settings: Settings) -> Bucket:
    """Returns the bucket that the settings name."""
    public_secure = settings.s3_secure if settings.s3_public_secure is None else settings.s3_public_secure
    return Bucket(
        name=settings.bucket,
        endpoint=settings.s3_endpoint,
        public_endpoint=settings.s3_public_endpoint or settings.s3_endpoint,
        region=settings.s3_region,
        secure=settings.s3_secure,
        public_secure=public_secure,
        credentials=_credentials(settings),
    )


def _credentials(settings: Settings) -> Provider | None:
    """Files go before values; settings has seen to it that there are both or none."""
    if settings.s3_access_key_file and settings.s3_secret_key_file:
        return FileCredentials(settings.s3_access_key_file, settings.s3_secret_key_file)
    access_key = settings.s3_access_key.get_secret_value()
    return StaticProvider(access_key, settings.s3_secret_key.get_secret_value()) if access_key else None


def rules_of(settings: Settings) -> Rules:
    """Returns what the operator decides, as the use cases take it."""
    return Rules(
        parts=PartPlan(settings.single_part_limit_bytes, settings.part_size_bytes),
        upload_url_ttl=timedelta(seconds=settings.upload_url_ttl_s),
        read_url_ttl=timedelta(seconds=settings.read_url_ttl_s),
        upload_ttl=timedelta(seconds=settings.upload_ttl_s),
        small_upload_limit_bytes=settings.small_upload_limit_bytes,
        small_upload_timeout=timedelta(seconds=settings.small_upload_timeout_s),
        price_per_gib_month=settings.price_per_gib_month,
        metrics_pages=settings.s3_metrics_pages.split(),
        price_per_gib_egress=settings.price_per_gib_egress,
        orphan_grace=timedelta(seconds=settings.orphan_grace_s),
        ended_upload_ttl=timedelta(seconds=settings.ended_upload_ttl_s),
    )


def _new_key(project: str) -> str:
    """Projects apart for people who look into the bucket; the rest is random, so that nothing collides."""
    return f"{project}/{secrets.token_hex(20)}"
