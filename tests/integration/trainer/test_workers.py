"""The worker protocol over a socket: one attempt from claim to finish, and how it goes wrong."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune.worker.v1 import worker_pb2, worker_pb2_grpc
from visiontune_kit import errors, status
from visiontune_trainer.domain.problems import LaunchPostponed, LaunchRefused

from tests.support.eventually import eventually
from tests.support.s3 import SeaweedFS
from tests.support.trainer import PARENT, TrainerHandle, running_trainer
from tests.support.worker_client import WorkerClient

STATE = pb.TrainingJob


@pytest.fixture
async def trainer(s3: SeaweedFS, tmp_path: Path) -> AsyncIterator[TrainerHandle]:
    async with running_trainer(s3, tmp_path) as handle:
        yield handle


async def test_a_job_from_claim_to_artifact(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.worker(job)
    claim = await worker.claim()
    assert claim.training_job == job.name
    assert claim.spec == job.resolved_spec
    assert claim.family == "llava"
    assert claim.manifest.shards[0].row_count == 80
    assert not claim.HasField("resume_from")
    assert (await trainer.get(job.name)).state == STATE.STATE_RUNNING
    sample = pb.Sample(example="e", prompt="Which digit?", expected="7", before="1")
    await worker.report(samples=[sample], metrics_before={"exact_match": 0.1})
    await worker.metrics(10, loss=2.0, eval_exact_match=0.5)
    progress = pb.Progress(step=10, total_steps=24, epoch=5.0, phase="training")
    await worker.report(progress=progress, log_lines=[pb.LogLine(level="info", message="hello")])
    notice = worker_pb2.Notice(reason="MEMORY_SHORT", message="From here on half as many a pass.")
    await worker.report(notices=[notice])
    await worker.checkpoint(10)
    after = pb.Sample(example="e", prompt="Which digit?", expected="7", after="7", after_step=24)
    await worker.report(samples=[after])
    assert await worker.succeed() == STATE.STATE_SUCCEEDED

    done = await trainer.get(job.name)
    assert done.metrics_before == {"exact_match": 0.1}
    assert done.metrics_after == {"exact_match": 0.95}
    assert done.progress.step == done.progress.total_steps
    assert done.HasField("end_time")
    assert await trainer.events(job.name) == [
        "QUEUED",
        "ATTEMPT_LAUNCHED",
        "ATTEMPT_STARTED",
        "MEMORY_SHORT",
        "CHECKPOINT_SAVED",
        "SUCCEEDED",
    ]
    points = await trainer.call("ListMetrics", pb.ListMetricsRequest(parent=job.name))
    assert [dict(point.values) for point in points.points] == [{"loss": 2.0, "eval_exact_match": 0.5}]
    lines = await trainer.call("ListLogLines", pb.ListLogLinesRequest(parent=job.name))
    assert [(line.sequence, line.message, line.attempt) for line in lines.log_lines] == [(1, "hello", 1)]
    samples = await trainer.call("ListSamples", pb.ListSamplesRequest(parent=job.name))
    assert [(each.before, each.after) for each in samples.samples] == [("1", "7")]
    artifacts = await trainer.call("ListArtifacts", pb.ListArtifactsRequest(parent=job.name))
    [artifact] = artifacts.artifacts
    assert artifact.name == f"{job.name}/artifacts/model"
    answer = await trainer.storage.http.get(artifact.files[0].url)
    assert answer.content == b"weights"
    checkpoints = await trainer.call("ListCheckpoints", pb.ListCheckpointsRequest(parent=job.name))
    assert [each.name for each in checkpoints.checkpoints] == [f"{job.name}/checkpoints/step-10"]


async def test_every_call_can_be_repeated(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.worker(job)
    assert await worker.claim() == await worker.claim()
    first = await worker.report(sequence=1, log_lines=[pb.LogLine(message="once")])
    assert (await worker.report(sequence=1, log_lines=[pb.LogLine(message="once")])) == first
    lines = await trainer.call("ListLogLines", pb.ListLogLinesRequest(parent=job.name))
    assert len(lines.log_lines) == 1
    files = {"a.bin": b"a", "b/c.bin": b"c"}
    uploads = await worker.create("checkpoints/step-1", files)
    assert [each.upload for each in (await worker.create("checkpoints/step-1", files)).uploads] == [
        each.upload for each in uploads.uploads
    ]
    uploaded = await worker.put(uploads, files)
    await worker.commit(1, uploaded)
    await worker.commit(1, uploaded)
    assert (await trainer.events(job.name)).count("CHECKPOINT_SAVED") == 1
    result = await worker.upload("artifacts/model", files)
    artifacts = [worker_pb2.ArtifactUploads(artifact="model", files=result)]
    assert await worker.finish(artifacts=artifacts) == STATE.STATE_SUCCEEDED
    assert await worker.finish(artifacts=artifacts) == STATE.STATE_SUCCEEDED
    assert (await trainer.events(job.name)).count("SUCCEEDED") == 1


async def test_a_lost_worker_is_replaced_from_the_last_checkpoint(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    first = await trainer.claimed(job)
    await first.report(samples=[pb.Sample(example="e", before="1")], metrics_before={"loss": 3.0})
    await first.report(base_revision="c0ffee")
    await first.report(base_revision="another")
    await first.checkpoint(10, b"ten")
    await first.metrics(11, loss=1.5)
    await first.create("checkpoints/step-20", {"half.bin": b"half"})
    trainer.backend.exits(first.attempt, -9, "Killed")
    second = await trainer.worker(job, 2)
    claim = await second.claim("w-2")
    assert claim.attempt_number == 2
    assert claim.resume_from.step == 10
    answer = await trainer.storage.http.get(claim.resume_from.files[0].url)
    assert answer.content == b"ten"
    assert [sample.before for sample in claim.samples] == ["1"]
    assert claim.metrics_before == {"loss": 3.0}
    assert claim.base_revision == "c0ffee"
    await second.metrics(11, loss=1.25)
    points = await trainer.call("ListMetrics", pb.ListMetricsRequest(parent=job.name))
    assert [(each.values["loss"], each.attempt) for each in points.points] == [(1.25, 2)]
    lines = await trainer.call("ListLogLines", pb.ListLogLinesRequest(parent=job.name))
    assert "Killed" in lines.log_lines[0].message
    await second.succeed()
    assert "WORKER_KILLED" in await trainer.events(job.name)
    kept = {
        f"{job.name}/checkpoints/step-10/attempts/1",
        f"{job.name}/artifacts/model/attempts/2",
        f"{job.name}/logs/attempt-1/attempts/1",  # the second said nothing
    }

    async def swept() -> bool:
        return set(await trainer.objects()) == kept

    await eventually(swept)
    assert first.attempt in trainer.backend.stopped


async def test_a_stale_attempt_cannot_speak(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    stale = await trainer.claimed(job)
    files = {"a.bin": b"a"}
    uploaded = await stale.upload("checkpoints/step-1", files)
    trainer.backend.exits(stale.attempt)
    await trainer.claimed(job, 2)
    calls = (
        stale.claim(),
        stale.create("checkpoints/step-2", files),
        stale.commit(1, uploaded),
        stale.finish(),
        stale.call("RenewReadManifest", worker_pb2.RenewReadManifestRequest(attempt=stale.attempt)),
    )
    for call in calls:
        with pytest.raises(errors.PermissionDenied) as refused:
            await call
        assert refused.value.reason == "StaleAttempt"
    stream = stale.stream()
    await stream.write(worker_pb2.ReportRequest(attempt=stale.attempt, sequence=9))
    with pytest.raises(grpc.aio.AioRpcError) as cut:
        await stream.read()
    assert status.from_rpc_error(cut.value).reason == "StaleAttempt"
    assert (await trainer.get(job.name)).state == STATE.STATE_RUNNING

    async def swept() -> bool:
        return not await trainer.objects()

    await eventually(swept)


# What a worker may ask, of an attempt.
OF_AN_ATTEMPT: dict[str, Callable[[str], Any]] = {
    "ExchangeToken": lambda attempt: worker_pb2.ExchangeTokenRequest(attempt=attempt),
    "ClaimAttempt": lambda attempt: worker_pb2.ClaimAttemptRequest(attempt=attempt, worker_id="w-1"),
    "Report": lambda attempt: worker_pb2.ReportRequest(attempt=attempt, sequence=1),
    "RenewReadManifest": lambda attempt: worker_pb2.RenewReadManifestRequest(attempt=attempt),
    "CreateFileUploads": lambda attempt: worker_pb2.CreateFileUploadsRequest(
        attempt=attempt,
        folder="checkpoints/step-1",
        files=[worker_pb2.FileToUpload(path="a.bin", size_bytes=1, sha256="0" * 64)],
    ),
    "CommitCheckpoint": lambda attempt: worker_pb2.CommitCheckpointRequest(
        attempt=attempt, step=1, files=[worker_pb2.UploadedFile(path="a.bin", upload=f"{PARENT}/uploads/u")]
    ),
    "FinishAttempt": lambda attempt: worker_pb2.FinishAttemptRequest(
        attempt=attempt, outcome=worker_pb2.OUTCOME_CANCELLED
    ),
}


async def test_a_worker_speaks_for_itself_only(trainer: TrainerHandle) -> None:
    worker = await trainer.claimed(await trainer.create())
    for other, refusal in (
        (worker.attempt.replace("attempts/1", "attempts/2"), "OtherAttempt"),
        (worker.attempt.replace(PARENT, "projects/other"), "ProjectNotFound"),
    ):
        for method, request_about in OF_AN_ATTEMPT.items():
            with pytest.raises(errors.Failure) as refused:
                await worker.ask(method, request_about(other))
            assert refused.value.reason == refusal, method


async def test_tokens_of_users_and_workers_do_not_mix(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.worker(job)
    token = trainer.backend.launched[worker.attempt]
    with pytest.raises(errors.Failure) as refused:
        await trainer.stub.GetTrainingJob(
            pb.GetTrainingJobRequest(name=job.name), metadata=[("authorization", f"Bearer {token}")]
        )
    assert "valid" in refused.value.message
    worker._metadata = trainer.trust.metadata()
    with pytest.raises(errors.Failure):
        await worker.claim()


async def test_an_attempt_has_one_worker(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.claimed(job)
    with pytest.raises(errors.AlreadyExists):
        await worker.claim("w-2")


async def test_nothing_works_before_the_claim(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.worker(job)
    with pytest.raises(errors.FailedPrecondition) as refused:
        await worker.finish()
    assert refused.value.reason == "AttemptNotClaimed"


async def test_a_commit_of_what_was_never_put_is_refused(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.claimed(job)
    uploads = await worker.create("checkpoints/step-1", {"a.bin": b"a"})
    named = [worker_pb2.UploadedFile(path="a.bin", upload=uploads.uploads[0].upload)]
    with pytest.raises(errors.FailedPrecondition):
        await worker.commit(1, named)
    checkpoints = await trainer.call("ListCheckpoints", pb.ListCheckpointsRequest(parent=job.name))
    assert not checkpoints.checkpoints


async def test_a_commit_with_somebody_elses_upload_is_refused(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.claimed(job)
    foreign = await trainer.storage.create(b"a")
    await trainer.storage.put(foreign, b"a")
    await worker.create("checkpoints/step-1", {"a.bin": b"a"})
    named = [worker_pb2.UploadedFile(path="a.bin", upload=foreign.name)]
    with pytest.raises(errors.InvalidArgument) as refused:
        await worker.commit(1, named)
    assert refused.value.reason == "UploadNotOfFolder"
    with pytest.raises(errors.InvalidArgument):
        await worker.commit(7, named)


@pytest.mark.parametrize("path", ["../../x", "/etc/x", "a//b", "a/./b", "a/..", "a\\b", ""])
async def test_a_path_out_of_the_folder_is_never_stored(trainer: TrainerHandle, path: str) -> None:
    job = await trainer.create()
    worker = await trainer.claimed(job)
    with pytest.raises(errors.InvalidArgument):
        await worker.create("checkpoints/step-1", {path: b"a"})
    [good] = await worker.upload("checkpoints/step-1", {"a.bin": b"a"})
    with pytest.raises(errors.InvalidArgument):
        await worker.commit(1, [worker_pb2.UploadedFile(path=path, upload=good.upload)])
    await worker.commit(1, [good])


async def test_the_newest_checkpoints_stay(trainer: TrainerHandle) -> None:
    job = await trainer.create(checkpointing=pb.Checkpointing(keep=2))
    worker = await trainer.claimed(job)
    for step in (1, 2, 3):
        await worker.checkpoint(step)
    checkpoints = await trainer.call("ListCheckpoints", pb.ListCheckpointsRequest(parent=job.name))
    assert [each.step for each in checkpoints.checkpoints] == [3, 2]

    async def swept() -> bool:
        return len(await trainer.objects()) == 2

    await eventually(swept)


async def test_a_cancelled_worker_hears_it_and_leaves_nothing(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.claimed(job)
    await worker.checkpoint(1)
    assert (await worker.report()).order == worker_pb2.ReportResponse.ORDER_CONTINUE
    asked = await trainer.call("CancelTrainingJob", pb.CancelTrainingJobRequest(name=job.name))
    assert asked.cancel_requested
    assert asked.state == STATE.STATE_RUNNING
    assert (await worker.report()).order == worker_pb2.ReportResponse.ORDER_CANCEL
    assert await worker.finish(worker_pb2.OUTCOME_CANCELLED) == STATE.STATE_CANCELLED
    trainer.backend.exits(worker.attempt, 0)

    async def swept() -> bool:
        return not await trainer.objects() and worker.attempt in trainer.backend.stopped

    await eventually(swept, within_s=15)


async def test_a_worker_that_ignores_the_order_is_stopped(s3: SeaweedFS, tmp_path: Path) -> None:
    async with running_trainer(s3, tmp_path, cancel_grace_s=0.2) as trainer:
        job = await trainer.create()
        worker = await trainer.claimed(job)
        await trainer.call("CancelTrainingJob", pb.CancelTrainingJobRequest(name=job.name))
        await trainer.until(job.name, "CANCELLED")
        assert worker.attempt in trainer.backend.stopped
        with pytest.raises(errors.FailedPrecondition):
            done = await trainer.create("other")
            other = await trainer.claimed(done)
            await other.succeed()
            await trainer.call("CancelTrainingJob", pb.CancelTrainingJobRequest(name=done.name))


async def test_a_failure_that_will_come_again_ends_the_job(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    worker = await trainer.claimed(job)
    state = await worker.finish(worker_pb2.OUTCOME_FAILED, reason="DATA_ERROR", message="Row 7 is broken.")
    assert state == STATE.STATE_FAILED
    failed = await trainer.get(job.name)
    assert (failed.state_reason, failed.state_message) == ("DATA_ERROR", "Row 7 is broken.")


async def test_a_passing_failure_is_retried_until_the_attempts_end(trainer: TrainerHandle) -> None:
    job = await trainer.create(resources=pb.Resources(max_attempts=2))
    first = await trainer.claimed(job)
    assert await first.finish(worker_pb2.OUTCOME_RETRY, reason="S3_AWAY") == STATE.STATE_RETRYING
    trainer.backend.exits(first.attempt, 75)
    second = await trainer.claimed(job, 2)
    assert await first.finish(worker_pb2.OUTCOME_RETRY, reason="S3_AWAY") == STATE.STATE_RETRYING
    assert await second.finish(worker_pb2.OUTCOME_RETRY, reason="S3_AWAY") == STATE.STATE_FAILED
    failed = await trainer.get(job.name)
    assert failed.state_reason == "ATTEMPTS_EXHAUSTED"
    assert "S3_AWAY" in failed.state_message


async def test_a_silent_worker_is_replaced(s3: SeaweedFS, tmp_path: Path) -> None:
    async with running_trainer(s3, tmp_path, heartbeat_timeout_s=1.0) as trainer:
        job = await trainer.create()
        await trainer.claimed(job)
        await trainer.claimed(job, 2)
        assert "HEARTBEAT_LOST" in await trainer.events(job.name)


async def test_a_worker_that_may_not_start_counts_as_an_attempt(trainer: TrainerHandle) -> None:
    trainer.backend.refusal = LaunchRefused("No such program.")
    job = await trainer.create(resources=pb.Resources(max_attempts=2))
    failed = await trainer.until(job.name, "FAILED")
    assert "No such program." in failed.state_message
    assert (await trainer.events(job.name)).count("LAUNCH_REFUSED") == 1


async def test_data_that_is_gone_ends_the_attempt_not_the_trainer(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    trainer.datasets.gone.add(job.spec.dataset_version)
    worker = await trainer.worker(job)
    with pytest.raises(errors.FailedPrecondition) as refused:
        await worker.claim()
    assert refused.value.reason == "DatasetGone"


async def test_one_slot_runs_one_job_at_a_time(trainer: TrainerHandle) -> None:
    first = await trainer.create("first")
    second = await trainer.create("second")
    worker = await trainer.claimed(first)
    assert (await trainer.get(second.name)).state == STATE.STATE_QUEUED
    await worker.succeed()
    trainer.backend.exits(worker.attempt, 0)
    await trainer.claimed(second)


async def exchange(trainer: TrainerHandle, attempt: str, machine_token: str) -> str:
    stub = worker_pb2_grpc.WorkerServiceStub(trainer.channel)
    request = worker_pb2.ExchangeTokenRequest(attempt=attempt)
    answer = await stub.ExchangeToken(request, metadata=[("authorization", f"Bearer {machine_token}")])
    token: str = answer.token
    return token


async def test_a_machine_gets_its_own_attempts_token_and_nothing_else(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    attempt = f"{job.name}/attempts/1"
    await trainer.worker(job)
    trainer.backend.machine_tokens = {"pod-1": attempt, "pod-2": f"{job.name}/attempts/2"}
    with pytest.raises(errors.PermissionDenied) as refused:
        await exchange(trainer, attempt, "pod-2")
    assert refused.value.reason == "OtherAttempt"
    with pytest.raises(errors.Failure) as unknown:
        await exchange(trainer, attempt, "no-pod")
    assert unknown.value.reason == "ServiceIdentityRefused"
    as_machine = WorkerClient(trainer.channel, trainer.storage.http, attempt, "pod-1")
    with pytest.raises(errors.PermissionDenied):
        await as_machine.claim()
    worker = WorkerClient(
        trainer.channel, trainer.storage.http, attempt, await exchange(trainer, attempt, "pod-1")
    )
    await worker.claim()
    with pytest.raises(errors.PermissionDenied) as another_use:
        await exchange(trainer, attempt, worker._token)
    assert another_use.value.reason == "OtherAttempt"


async def test_a_new_token_replaces_the_one_before_and_a_stale_attempt_gets_none(
    trainer: TrainerHandle,
) -> None:
    job = await trainer.create()
    attempt = f"{job.name}/attempts/1"
    old = await trainer.worker(job)
    trainer.backend.machine_tokens = {"pod-1": attempt}
    worker = WorkerClient(
        trainer.channel, trainer.storage.http, attempt, await exchange(trainer, attempt, "pod-1")
    )
    with pytest.raises(errors.PermissionDenied):
        await old.claim()
    await worker.claim()
    trainer.backend.exits(attempt, 1)
    await trainer.claimed(job, 2)
    with pytest.raises(errors.PermissionDenied) as refused:
        await exchange(trainer, attempt, "pod-1")
    assert refused.value.reason == "StaleAttempt"


async def test_a_worker_that_was_sent_away_costs_no_attempt(trainer: TrainerHandle) -> None:
    job = await trainer.create(resources=pb.Resources(max_attempts=1))
    first = await trainer.claimed(job)
    assert await first.finish(worker_pb2.OUTCOME_RETRY, reason="PREEMPTED") == STATE.STATE_RETRYING
    trainer.backend.exits(first.attempt, 75)
    second = await trainer.claimed(job, 2)
    assert (await trainer.get(job.name)).uncharged_attempts == 1
    assert await second.finish(worker_pb2.OUTCOME_RETRY, reason="S3_AWAY") == STATE.STATE_FAILED


async def test_why_a_worker_waits_is_shown_and_told(trainer: TrainerHandle) -> None:
    trainer.backend.waiting = "3 nvidia-l4 nodes lack 2 free GPUs."
    job = await trainer.create()

    async def told() -> Any:
        found = await trainer.get(job.name)
        return found if found.state_reason == "WAITING" else None

    found = await eventually(told)
    assert found.state == STATE.STATE_STARTING
    assert found.state_message == "3 nvidia-l4 nodes lack 2 free GPUs."
    worker = await trainer.claimed(job)
    await worker.succeed()
    assert (await trainer.events(job.name)).count("WAITING") == 1


async def test_why_a_launch_is_put_off_is_shown_and_it_is_tried_again(trainer: TrainerHandle) -> None:
    trainer.backend.refusal = LaunchPostponed("Quota q: 8 of 8 GPUs used.")
    job = await trainer.create()

    async def told() -> bool:
        return (await trainer.get(job.name)).state_message == "Quota q: 8 of 8 GPUs used."

    await eventually(told)
    trainer.backend.refusal = None
    worker = await trainer.claimed(job)
    await worker.succeed()
    assert (await trainer.get(job.name)).uncharged_attempts == 0
