"""Watching a job: all of the past, a mark, the present, and no gap however often the stream is cut."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune.trainer.v1 import trainer_pb2_grpc
from visiontune.worker.v1 import worker_pb2
from visiontune_kit import channels, errors, status

from tests.support.s3 import SeaweedFS
from tests.support.trainer import TrainerHandle, running_trainer


@pytest.fixture
async def trainer(s3: SeaweedFS, tmp_path: Path) -> AsyncIterator[TrainerHandle]:
    async with running_trainer(s3, tmp_path) as handle:
        yield handle


def watch(trainer: TrainerHandle, name: str, cursor: str = "") -> Any:
    request = pb.WatchTrainingJobRequest(name=name, cursor=cursor)
    return trainer.stub.WatchTrainingJob(request, metadata=trainer.trust.metadata())


async def test_the_past_comes_first_then_the_mark_then_what_happens(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.claimed(job)
    await worker.metrics(1, loss=2.0)
    stream = watch(trainer, job.name)
    past = []
    async with asyncio.timeout(10):
        async for message in stream:
            past.append(message)
            if message.HasField("snapshot_complete"):
                break
    kinds = [message.WhichOneof("update") for message in past]
    assert kinds.count("event") == 3
    assert kinds.count("metric") == 1
    assert kinds.count("training_job") == 1
    await worker.report(log_lines=[pb.LogLine(message="hello")])
    await worker.succeed()
    async with asyncio.timeout(10):
        after = [message async for message in stream]
    assert [each.log_line.message for each in after if each.HasField("log_line")] == ["hello"]
    jobs = [each.training_job for each in after if each.HasField("training_job")]
    assert jobs[-1].state == pb.TrainingJob.STATE_SUCCEEDED


async def test_a_cut_stream_resumes_without_gap_or_repetition(trainer: TrainerHandle) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    job = await trainer.create()
    worker = await trainer.claimed(job)
    told: list[tuple[str, int]] = []

    async def follow() -> None:
        cursor, ended = "", False
        while not ended:
            left = chance.randint(1, 7)
            stream = watch(trainer, job.name, cursor)
            async for message in stream:
                cursor = message.cursor
                if message.HasField("event"):
                    told.append(("event", message.event.sequence))
                    ended = message.event.reason == "SUCCEEDED"
                if message.HasField("log_line"):
                    told.append(("line", message.log_line.sequence))
                left -= 1
                if not left:
                    stream.cancel()
                    break

    async def work() -> None:
        for step in range(30):
            await worker.report(log_lines=[pb.LogLine(message=str(step))] * chance.randint(1, 3))
        await worker.succeed()

    async with asyncio.timeout(30):
        await asyncio.gather(follow(), work())
    lines = [number for kind, number in told if kind == "line"]
    events = [number for kind, number in told if kind == "event"]
    assert lines == list(range(1, len(lines) + 1))
    assert events == list(range(1, len(events) + 1))
    assert len(lines) >= 30


async def test_many_lines_come_in_order_over_several_pages(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.claimed(job)
    for _ in range(3):
        await worker.report(log_lines=[pb.LogLine(message="x")] * 400)
        await worker.metrics(1, loss=1.0)
    await worker.succeed()
    async with asyncio.timeout(20):
        messages = [message async for message in watch(trainer, job.name)]
    numbers = [each.log_line.sequence for each in messages if each.HasField("log_line")]
    assert numbers == list(range(1, 1201))
    cursors = [int(each.cursor) for each in messages]
    assert cursors == sorted(cursors)
    # The point was replaced twice; only the newest is told.
    assert len([each for each in messages if each.HasField("metric")]) == 1


async def test_watching_an_ended_job_from_its_end_says_so_and_ends(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.claimed(job)
    await worker.succeed()
    messages = [message async for message in watch(trainer, job.name)]
    again = [message async for message in watch(trainer, job.name, messages[-1].cursor)]
    assert [message.WhichOneof("update") for message in again] == ["snapshot_complete"]


@pytest.mark.parametrize("cursor", ["999999", "x", "-1"])
async def test_a_cursor_that_is_none_is_out_of_range(trainer: TrainerHandle, cursor: str) -> None:
    job = await trainer.create()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await watch(trainer, job.name, cursor).read()
    assert isinstance(status.from_rpc_error(refused.value), errors.OutOfRange)


async def test_streams_end_with_unavailable_when_the_server_stops(s3: SeaweedFS, tmp_path: Path) -> None:
    async with AsyncExitStack() as client:
        async with running_trainer(s3, tmp_path) as trainer:
            job = await trainer.create()
            worker = await trainer.claimed(job)
            channel = await client.enter_async_context(channels.connect(trainer.target))
            request = pb.WatchTrainingJobRequest(name=job.name)
            metadata = trainer.trust.metadata()
            watching = trainer_pb2_grpc.TrainerServiceStub(channel).WatchTrainingJob(
                request, metadata=metadata
            )
            reporting = worker.on(channel).stream()
            await reporting.write(worker_pb2.ReportRequest(attempt=worker.attempt, sequence=1))
            assert (await reporting.read()).acknowledged == 1
            await watching.read()
        for stream in (watching, reporting):
            with pytest.raises(grpc.aio.AioRpcError) as cut:
                while isinstance(await stream.read(), Message):
                    pass
            assert status.from_rpc_error(cut.value).reason == "ShuttingDown"
