"""Logs that outlive their workers: what is kept, for how long, and what when storage does not take it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from visiontune.storage.v1 import storage_pb2
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune.worker.v1 import worker_pb2
from visiontune_kit.identity import Role
from visiontune_trainer.adapters.storage import StorageClient

from tests.support.eventually import eventually
from tests.support.s3 import SeaweedFS
from tests.support.trainer import TrainerHandle, running_trainer

QUOTA = "projects/default/quota"


@pytest.fixture
async def trainer(s3: SeaweedFS, tmp_path: Path) -> AsyncIterator[TrainerHandle]:
    async with running_trainer(s3, tmp_path) as handle:
        yield handle


async def logs_of(trainer: TrainerHandle, name: str) -> list[pb.AttemptLog]:
    answer = await trainer.call("ListAttemptLogs", pb.ListAttemptLogsRequest(parent=name))
    return list(answer.logs)


async def used_bytes(trainer: TrainerHandle) -> int:
    quota = await trainer.storage.call("GetQuota", storage_pb2.GetQuotaRequest(name=QUOTA))
    return int(quota.used_bytes)


async def test_the_log_of_each_attempt_is_kept_until_the_job_is_deleted(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    first = await trainer.claimed(job)
    told = [pb.LogLine(level="warning", message="Row 7 is odd."), pb.LogLine(message="Zwei\nZeilen, grün")]
    await first.report(log_lines=told)
    trainer.backend.exits(first.attempt, -9, "Killed")  # it has no word any more
    second = await trainer.claimed(job, 2)
    await second.report(log_lines=[pb.LogLine(message="once more")])
    assert [log.attempt for log in await eventually(lambda: logs_of(trainer, job.name))] == [1]
    await second.succeed()

    async def both() -> list[pb.AttemptLog] | None:
        found = await logs_of(trainer, job.name)
        return found if len(found) == 2 else None

    one, two = await eventually(both)
    assert one.name == f"{job.name}/logs/attempt-1"
    assert (one.file.path, two.file.path) == ("attempt-1.log", "attempt-2.log")
    text = (await trainer.storage.http.get(one.file.url)).text
    assert "warning Row 7 is odd.\n" in text
    assert "info    Zwei\nZeilen, grün\n" in text
    assert text.endswith("error   Last output of the worker:\nKilled\n")
    assert one.file.size_bytes == len(text.encode())
    assert "once more" in (await trainer.storage.http.get(two.file.url)).text
    # Not among the results, and counted as they are.
    artifacts = await trainer.call("ListArtifacts", pb.ListArtifactsRequest(parent=job.name))
    assert [each.name for each in artifacts.artifacts] == [f"{job.name}/artifacts/model"]
    results = artifacts.artifacts[0].size_bytes
    assert await used_bytes(trainer) == results + one.file.size_bytes + two.file.size_bytes
    await trainer.call("DeleteTrainingJob", pb.DeleteTrainingJobRequest(name=job.name))

    async def nothing_is_left() -> bool:
        return not await trainer.objects() and await used_bytes(trainer) == 0

    await eventually(nothing_is_left)


async def test_a_log_that_storage_does_not_take_is_told_and_its_lines_stay(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.claimed(job)
    await worker.report(log_lines=[pb.LogLine(message="hello")])
    quota = storage_pb2.Quota(name=QUOTA, limit_bytes=1)
    await trainer.storage.call("UpdateQuota", storage_pb2.UpdateQuotaRequest(quota=quota), role=Role.OPERATOR)
    await worker.finish(worker_pb2.OUTCOME_FAILED, reason="DATA_ERROR")

    async def is_told() -> bool:
        return (await trainer.events(job.name))[-1] == "LOG_NOT_KEPT"

    await eventually(is_told)
    assert await logs_of(trainer, job.name) == []
    lines = await trainer.call("ListLogLines", pb.ListLogLinesRequest(parent=job.name))
    assert [line.message for line in lines.log_lines] == ["hello"]


async def test_a_job_that_is_deleted_while_its_log_is_stored_leaves_nothing(
    trainer: TrainerHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await trainer.create()
    put, stored = StorageClient.put, []

    async def put_and_delete(self: StorageClient, *arguments: Any) -> Any:
        stored.append(await put(self, *arguments))
        await trainer.call("DeleteTrainingJob", pb.DeleteTrainingJobRequest(name=job.name))
        # The sweep has been here: whatever comes now is nobody's.
        await eventually(lambda: _is_swept(trainer))
        return stored[-1]

    monkeypatch.setattr(StorageClient, "put", put_and_delete)
    worker = await trainer.claimed(job)
    await worker.report(log_lines=[pb.LogLine(message="hello")])
    await worker.finish(worker_pb2.OUTCOME_FAILED)
    await eventually(lambda: stored)
    await eventually(lambda: _is_swept(trainer))


async def _is_swept(trainer: TrainerHandle) -> bool:
    return not await trainer.objects()
