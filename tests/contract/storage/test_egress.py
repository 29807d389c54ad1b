"""What readers fetch from the object store is counted, as the store itself reports it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune_kit import errors
from visiontune_kit.identity import Role

from tests.support.eventually import eventually
from tests.support.s3 import SeaweedFS
from tests.support.storage import StorageHandle, running_storage

MIB = 1024 * 1024
SIZE_BYTES = 3 * MIB
# Answers to calls other than reads of objects count, too: they are small.
MOST_OF_OTHERS = 64 * 1024


async def egress(storage: StorageHandle) -> pb.GetEgressResponse:
    found: pb.GetEgressResponse = await storage.call(
        "GetEgress", pb.GetEgressRequest(), project="anyone", role=Role.OPERATOR
    )
    return found


async def read(storage: StorageHandle, name: str, times: int) -> None:
    for _ in range(times):
        assert len(await storage.read(name)) == SIZE_BYTES


async def until_counted(storage: StorageHandle, bytes_: int) -> None:
    async def counted() -> bool:
        return bytes_ <= (await egress(storage)).sent_bytes

    await eventually(counted)
    await asyncio.sleep(0.5)  # nothing is counted twice, nor what storage reads itself
    assert (await egress(storage)).sent_bytes < bytes_ + MOST_OF_OTHERS


async def test_bytes_that_signed_urls_sent_are_counted_and_cost(
    s3: SeaweedFS, tmp_path: Path, database_url: str
) -> None:
    async with running_storage(
        s3,
        tmp_path,
        database_url=database_url,
        s3_metrics_pages=s3.metrics_page,
        sweep_interval_s=0.1,
        price_per_gib_egress=1024.0,
    ) as storage:
        done = await storage.upload(b"x" * SIZE_BYTES)  # storage reads it once to compare its digest
        await read(storage, done.object, 2)
        await until_counted(storage, 2 * SIZE_BYTES)
        found = await egress(storage)
        assert found.cost == pytest.approx(found.sent_bytes / MIB)
        assert sum(day.sent_bytes for day in found.days) == found.sent_bytes
        for role in (Role.ADMIN, Role.VIEWER):
            with pytest.raises(errors.PermissionDenied):
                await storage.call("GetEgress", pb.GetEgressRequest(), role=role)


async def test_two_replicas_count_each_byte_once(s3: SeaweedFS, tmp_path: Path, database_url: str) -> None:
    bucket = s3.make_bucket()
    how: dict[str, Any] = {
        "database_url": database_url,
        "bucket": bucket,
        "s3_metrics_pages": s3.metrics_page,
        "sweep_interval_s": 0.02,
    }
    async with running_storage(s3, tmp_path, **how) as one, running_storage(s3, tmp_path, **how) as other:
        done = await one.upload(b"x" * SIZE_BYTES)
        await asyncio.gather(*(read(each, done.object, 4) for each in (one, other)))
        await until_counted(other, 8 * SIZE_BYTES)
    s3.drop_bucket(bucket)


async def test_a_page_that_does_not_answer_is_said_and_holds_nothing_up(
    s3: SeaweedFS, tmp_path: Path
) -> None:
    pages = f"http://127.0.0.1:1/metrics {s3.metrics_page}"
    with capture_logs() as logged:
        async with running_storage(s3, tmp_path, s3_metrics_pages=pages, sweep_interval_s=0.1) as storage:
            done = await storage.upload(b"x" * SIZE_BYTES)
            await read(storage, done.object, 1)
            await until_counted(storage, SIZE_BYTES)
    found = {each["page"] for each in logged if each["event"] == "object_store_metrics_unreadable"}
    assert found == {"http://127.0.0.1:1/metrics"}


async def test_where_nobody_reports_it_that_is_said(storage: StorageHandle) -> None:
    with pytest.raises(errors.FailedPrecondition, match="VISIONTUNE_STORAGE_S3_METRICS_PAGES") as refused:
        await egress(storage)
    assert refused.value.reason == "EgressNotCounted"
