"""Accelerator hours over gRPC: counted once, also of deleted jobs, and guessed where nobody saw the end."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune_kit import errors
from visiontune_kit.identity import Role
from visiontune_trainer.domain.usage import MachineTime
from visiontune_trainer.ports import AcceleratorKind

from tests.support.eventually import eventually
from tests.support.s3 import SeaweedFS
from tests.support.trainer import PARENT, TrainerHandle, running_trainer

STARTED = datetime.now(UTC) - timedelta(hours=3)


@pytest.fixture
async def trainer(s3: SeaweedFS, tmp_path: Path) -> AsyncIterator[TrainerHandle]:
    async with running_trainer(s3, tmp_path) as handle:
        yield handle


def machine(job: str, name: str = "pod-1") -> MachineTime:
    return MachineTime(name, "default", job, 1, "nvidia-l4", 2, 0.5, STARTED)


async def usage(trainer: TrainerHandle, **fields: Any) -> Any:
    request = pb.GetAcceleratorUsageRequest(parent=PARENT, **fields)
    return (await trainer.call("GetAcceleratorUsage", request)).usage


async def test_hours_are_counted_once_and_stay_when_the_job_goes(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.claimed(job)
    trainer.backend.times = [machine(job.name)]

    async def counted() -> bool:
        found = await usage(trainer)
        return len(found) == 1 and found[0].accelerator_hours > 5.9

    await eventually(counted)
    trainer.backend.times = [replace(machine(job.name), ended_at=STARTED + timedelta(hours=1))]

    async def ended() -> bool:
        return [each.accelerator_hours for each in await usage(trainer)] == [2.0]

    await eventually(ended)
    await worker.succeed()
    await trainer.call("DeleteTrainingJob", pb.DeleteTrainingJobRequest(name=job.name))
    trainer.backend.times = []
    (found,) = await usage(trainer, training_job=job.name)
    assert (found.accelerator, found.accelerator_hours, found.cost) == ("nvidia-l4", 2.0, 1.0)
    assert await usage(trainer, training_job=f"{PARENT}/trainingJobs/other") == []


async def test_what_a_job_may_ask_for_is_listed_in_pages(trainer: TrainerHandle) -> None:
    trainer.backend.kinds = [
        AcceleratorKind("nvidia-l4", 24 * 1024**3, 8, True, 0.7, 0.2),
        AcceleratorKind("nvidia-t4", None, 4, True, None, None),
    ]
    request = pb.ListAcceleratorsRequest(parent=PARENT, page_size=1)
    first: pb.ListAcceleratorsResponse = await trainer.call("ListAccelerators", request, role=Role.VIEWER)
    request.page_token = first.next_page_token
    second: pb.ListAcceleratorsResponse = await trainer.call("ListAccelerators", request, role=Role.VIEWER)
    l4, t4 = *first.accelerators, *second.accelerators
    assert (l4.name, l4.memory_bytes, l4.max_count) == (f"{PARENT}/accelerators/nvidia-l4", 24 * 1024**3, 8)
    assert (l4.spot_available, l4.price_per_hour, l4.spot_price_per_hour) == (True, 0.7, 0.2)
    assert [field.name for field, _ in t4.ListFields()] == ["name", "max_count", "spot_available"]
    assert second.next_page_token == ""


async def test_a_span_cuts_the_hours(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    trainer.backend.times = [replace(machine(job.name), ended_at=STARTED + timedelta(hours=2))]

    async def counted() -> Any:
        return await usage(trainer)

    await eventually(counted)
    until = pb.GetAcceleratorUsageRequest()
    until.start_time.FromDatetime(STARTED + timedelta(minutes=30))
    until.end_time.FromDatetime(STARTED + timedelta(minutes=60))
    (found,) = await usage(trainer, start_time=until.start_time, end_time=until.end_time)
    assert found.accelerator_hours == pytest.approx(1.0)
    with pytest.raises(errors.InvalidArgument) as refused:
        await usage(trainer, start_time=until.end_time, end_time=until.start_time)
    assert refused.value.reason == "SpanBackwards"


async def test_another_projects_hours_are_not_shown(trainer: TrainerHandle) -> None:
    with pytest.raises(errors.NotFound):
        await trainer.call(
            "GetAcceleratorUsage", pb.GetAcceleratorUsageRequest(parent=PARENT), project="theirs"
        )
