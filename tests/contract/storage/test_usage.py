"""What is told about what projects keep, on both databases."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune_kit import errors
from visiontune_kit.identity import Role

from tests.support.clocks import MovableClock
from tests.support.eventually import eventually
from tests.support.s3 import SeaweedFS
from tests.support.storage import StorageHandle, running_storage

MIB = 1024 * 1024
JOB = "projects/default/trainingJobs/j"


@pytest.fixture
async def storage(
    s3: SeaweedFS, tmp_path: Path, database_url: str, clock: MovableClock
) -> AsyncIterator[StorageHandle]:
    async with running_storage(
        s3,
        tmp_path,
        database_url=database_url,
        clock=clock,
        sweep_interval_s=0.1,
        price_per_gib_month=730.0,  # 1 a GiB and hour
    ) as handle:
        yield handle


async def usage(storage: StorageHandle, project: str = "default", **fields: object) -> pb.GetUsageResponse:
    request = pb.GetUsageRequest(parent=f"projects/{project}", **fields)  # type: ignore[arg-type]
    found: pb.GetUsageResponse = await storage.call("GetUsage", request, project=project, role=Role.VIEWER)
    return found


async def test_each_hour_is_counted_once_and_summed_by_kind(
    storage: StorageHandle, clock: MovableClock
) -> None:
    # From the next hour on: this one is counted as soon as it begins to be.
    span: dict[str, Any] = {"start_time": Timestamp(seconds=(int(time.time()) // 3600 + 1) * 3600)}
    await storage.upload(b"x" * MIB)
    await storage.upload(b"y" * 2 * MIB, owner=f"{JOB}/checkpoints/1")
    await storage.upload(b"z" * MIB, project="other")
    for hours in (1, 2, 3):
        clock.moved = timedelta(hours=hours)

        async def counted(hours: int = hours) -> bool:
            found = await usage(storage, **span)
            return [each.gib_hours * 1024 for each in found.kinds] == [hours, 2 * hours]

        await eventually(counted)
    found = await usage(storage, **span)
    [upload, job] = found.kinds
    assert (upload.kind, upload.size_bytes, upload.object_count) == (pb.OWNER_KIND_UPLOAD, MIB, 1)
    assert (job.kind, job.size_bytes, job.object_count) == (pb.OWNER_KIND_JOB, 2 * MIB, 1)
    assert job.cost == pytest.approx(job.gib_hours)
    assert [(each.name, each.size_bytes) for each in found.owners] == [(JOB, 2 * MIB)]
    assert sum(each.gib_hours for each in found.days) == pytest.approx(job.gib_hours + upload.gib_hours)
    [other] = (await usage(storage, "other", **span)).kinds
    assert other.size_bytes == MIB


async def test_a_span_that_ends_before_it_starts_is_refused(storage: StorageHandle) -> None:
    request = pb.GetUsageRequest(parent="projects/default")
    request.start_time.FromSeconds(2_000_000_000)
    with pytest.raises(errors.InvalidArgument) as refused:
        await storage.call("GetUsage", request)
    assert refused.value.reason == "SpanBackwards"
