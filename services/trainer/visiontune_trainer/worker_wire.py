"""Messages of worker.proto to values of the domain and back; pure."""

from visiontune.dataset.v1.dataset_pb2 import ReadManifest
from visiontune.worker.v1 import worker_pb2 as pb

from visiontune_trainer import wire
from visiontune_trainer.domain.job import job_of_attempt
from visiontune_trainer.domain.reports import LogLine, MetricPoint, Notice, Report, Sample
from visiontune_trainer.domain.states import State
from visiontune_trainer.ports import Manifest, NewFile, PreparedUpload, SignedFiles
from visiontune_trainer.use_cases.attempts import Acknowledgement, Claim, Finish
from visiontune_trainer.use_cases.files import CommitCheckpoint, UploadedFile

_OUTCOME = "OUTCOME_"


def claim_to(claim: Claim) -> pb.ClaimAttemptResponse:
    """Returns all that a worker needs."""
    return pb.ClaimAttemptResponse(
        training_job=claim.job,
        attempt_number=claim.attempt,
        spec=wire.spec_to(claim.spec),
        spec_digest=claim.spec_digest,
        family=claim.family,
        manifest=manifest_to(claim.manifest),
        resume_from=checkpoint_to(claim.resume_from),
        best=checkpoint_to(claim.best),
        adapter_base=None if claim.adapter_base is None else wire.base_to(claim.adapter_base),
        model_files=[model_files_to(model) for model in claim.model_files],
        samples=[wire.sample_to(sample) for sample in claim.samples],
        metrics_before=claim.metrics_before,
        base_revision=claim.base_revision,
        heartbeat_interval_s=claim.heartbeat_interval_s,
    )


def manifest_to(manifest: Manifest) -> ReadManifest:
    """Returns the dataset service's own answer."""
    return ReadManifest.FromString(manifest)


def report_from(request: pb.ReportRequest) -> Report:
    """Returns a report; the numbers of lines and points are given by the server."""
    job, attempt = job_of_attempt(request.attempt)
    return Report(
        attempt=request.attempt,
        sequence=request.sequence,
        progress=wire.progress_from(request.progress) if request.HasField("progress") else None,
        metrics=tuple(
            MetricPoint(job, point.step, point.epoch, dict(point.values), wire.time_from(point.time), attempt)
            for point in request.metrics
        ),
        log_lines=tuple(
            LogLine(job, wire.time_from(line.time), line.level, line.message, attempt)
            for line in request.log_lines
        ),
        samples=tuple(
            Sample(
                job,
                position,
                sample.example,
                sample.prompt,
                sample.expected,
                sample.before,
                sample.after,
                sample.after_step,
            )
            for position, sample in enumerate(request.samples)
        ),
        metrics_before=dict(request.metrics_before),
        base_revision=request.base_revision,
        notices=tuple(Notice(notice.reason, notice.message) for notice in request.notices),
    )


def acknowledgement_to(given: Acknowledgement) -> pb.ReportResponse:
    """Returns the answer to a report."""
    order = pb.ReportResponse.Order.Value(f"ORDER_{given.order}")
    return pb.ReportResponse(acknowledged=given.sequence, order=order)


def new_files_from(request: pb.CreateFileUploadsRequest) -> list[NewFile]:
    """Returns the files that a worker wants to store."""
    return [NewFile(file.path, file.size_bytes, file.sha256) for file in request.files]


def uploads_to(uploads: list[PreparedUpload]) -> pb.CreateFileUploadsResponse:
    """Returns where to PUT each file."""
    return pb.CreateFileUploadsResponse(
        uploads=[
            pb.FileUpload(
                path=upload.path,
                upload=upload.upload,
                part_size_bytes=upload.part_size_bytes,
                part_urls=upload.part_urls,
            )
            for upload in uploads
        ]
    )


def commit_from(request: pb.CommitCheckpointRequest) -> CommitCheckpoint:
    """Returns a checkpoint to commit."""
    uploaded = tuple(UploadedFile(file.path, file.upload) for file in request.files)
    best_step = request.best_step if request.HasField("best_step") else None
    return CommitCheckpoint(request.attempt, request.step, request.epoch, uploaded, best_step)


def finish_from(request: pb.FinishAttemptRequest) -> Finish:
    """Returns how an attempt ended."""
    return Finish(
        attempt=request.attempt,
        outcome=pb.Outcome.Name(request.outcome).removeprefix(_OUTCOME),
        reason=request.reason,
        message=request.message,
        artifacts={
            artifact.artifact: tuple(UploadedFile(file.path, file.upload) for file in artifact.files)
            for artifact in request.artifacts
        },
        metrics=dict(request.metrics),
        parameter_count=request.parameter_count,
        best_step=request.best_step if request.HasField("best_step") else None,
    )


def finished_to(state: State) -> pb.FinishAttemptResponse:
    """Returns the job's state after an attempt."""
    return pb.FinishAttemptResponse(state=wire.state_to(state))


def checkpoint_to(found: SignedFiles | None) -> pb.CheckpointFiles | None:
    """Returns files of a checkpoint; None stays absent."""
    if found is None:
        return None
    return pb.CheckpointFiles(step=found.step, files=[wire.file_to(file, found.urls) for file in found.files])


def model_files_to(model: SignedFiles) -> pb.ModelFiles:
    """Returns files of a registered model."""
    return pb.ModelFiles(
        model=model.name,
        is_adapter=model.is_adapter,
        files=[wire.file_to(file, model.urls) for file in model.files],
    )
