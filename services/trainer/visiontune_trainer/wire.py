"""Messages of trainer.proto to values of the domain and back; pure."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import ValidationError
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune_kit.errors import InvalidArgument, Violation
from visiontune_recipes.check import Problem
from visiontune_recipes.families import Family
from visiontune_recipes.presets import PRESETS
from visiontune_recipes.spec import Base, Spec

from visiontune_trainer.domain.folders import Folder, StoredFile
from visiontune_trainer.domain.job import Event, Job, Progress
from visiontune_trainer.domain.problems import SPEC_FIELD
from visiontune_trainer.domain.reports import LogLine, MetricPoint, Sample, SampleAnswer
from visiontune_trainer.domain.states import State
from visiontune_trainer.domain.usage import Sum
from visiontune_trainer.estimate_wire import choice_to, estimate_to
from visiontune_trainer.ports import AcceleratorKind, SignedUrl
from visiontune_trainer.use_cases.jobs import Plan
from visiontune_trainer.use_cases.watch import Heartbeat, Present, Told


class SpecMalformed(InvalidArgument):
    """The spec breaks a rule that the proto cannot state."""

    def __init__(self, error: ValidationError) -> None:
        violations = [
            Violation(
                SPEC_FIELD + ".".join(str(part) for part in problem["loc"]), problem["msg"], problem["type"]
            )
            for problem in error.errors()
        ]
        super().__init__(f"{violations[0].field}: {violations[0].description}", violations=violations)


def spec_from(message: pb.TrainingJobSpec) -> Spec:
    """Raises SpecMalformed."""
    try:
        return Spec.model_validate(MessageToDict(message, preserving_proto_field_name=True))
    except ValidationError as error:
        raise SpecMalformed(error) from error


def spec_to(spec: Spec) -> pb.TrainingJobSpec:
    """Returns the spec as a message."""
    return ParseDict(spec.to_dict(), pb.TrainingJobSpec())


def job_to(job: Job) -> pb.TrainingJob:
    """Returns the job as its owner sees it."""
    return pb.TrainingJob(
        name=job.name,
        uid=job.uid,
        display_name=job.display_name,
        spec=spec_to(job.spec),
        resolved_spec=spec_to(job.resolved),
        spec_digest=job.spec_digest,
        dataset_digest=job.dataset_digest,
        state=state_to(job.state),
        state_reason=job.reason,
        state_message=job.message,
        progress=progress_to(job.progress),
        attempt=job.attempt,
        metrics_before=job.metrics_before,
        metrics_after=job.metrics_after,
        cancel_requested=job.cancel_requested_at is not None,
        create_time=time_to(job.created_at),
        start_time=time_to(job.started_at),
        end_time=time_to(job.ended_at),
        next_attempt_time=time_to(job.next_attempt_at),
        etag=f'"{job.updated}"',
        uncharged_attempts=job.uncharged,
        pause_requested=job.pause_requested_at is not None,
    )


def state_to(state: State) -> pb.TrainingJob.State.ValueType:
    """Returns the state as its enum value."""
    return pb.TrainingJob.State.Value(f"STATE_{state}")


def progress_to(progress: Progress) -> pb.Progress:
    """Returns the progress as a message."""
    return pb.Progress(
        step=progress.step,
        total_steps=progress.total_steps,
        epoch=progress.epoch,
        phase=progress.phase,
        remaining=None if progress.remaining_s is None else duration_to(progress.remaining_s),
        best=None
        if progress.best_step is None
        else pb.BestEvaluation(
            step=progress.best_step,
            metric=progress.best_metric,
            value=progress.best_value,
            evaluations_without_progress=progress.evaluations_without_progress,
        ),
    )


def progress_from(message: pb.Progress) -> Progress:
    """Returns the progress that a worker reports."""
    remaining_s = message.remaining.ToTimedelta().total_seconds() if message.HasField("remaining") else None
    best = message.best
    return Progress(
        message.step,
        message.total_steps,
        message.epoch,
        message.phase,
        remaining_s,
        best_step=best.step if message.HasField("best") else None,
        best_metric=best.metric,
        best_value=best.value,
        evaluations_without_progress=best.evaluations_without_progress,
    )


def plan_to(plan: Plan) -> pb.ValidateTrainingJobResponse:
    """Returns what a dry run found."""
    return pb.ValidateTrainingJobResponse(
        resolved_spec=None if plan.resolved is None else spec_to(plan.resolved),
        problems=[_problem_to(problem) for problem in plan.problems],
        total_steps=plan.total_steps,
        warnings=[_problem_to(warning) for warning in plan.warnings],
        estimate=None if plan.resolved is None else estimate_to(plan.needs),
        choices=[choice_to(choice) for choice in plan.choices],
    )


def _problem_to(problem: Problem) -> pb.ValidateTrainingJobResponse.JobProblem:
    return pb.ValidateTrainingJobResponse.JobProblem(
        field=SPEC_FIELD + problem.field, rule=problem.rule, message=problem.message, remedy=problem.remedy
    )


def event_to(event: Event) -> pb.Event:
    """Returns the event as a message."""
    return pb.Event(
        sequence=event.sequence,
        time=time_to(event.at),
        reason=event.reason,
        message=event.message,
        state=state_to(event.state),
        attempt=event.attempt,
    )


def metric_to(point: MetricPoint) -> pb.MetricPoint:
    """Returns the point as a message."""
    return pb.MetricPoint(
        step=point.step,
        epoch=point.epoch,
        values=point.values,
        time=time_to(point.at),
        attempt=point.attempt,
    )


def log_line_to(line: LogLine) -> pb.LogLine:
    """Returns the line as a message."""
    return pb.LogLine(
        sequence=line.sequence,
        time=time_to(line.at),
        level=line.level,
        message=line.message,
        attempt=line.attempt,
    )


def sample_to(sample: Sample) -> pb.Sample:
    """Returns the sample as a message."""
    return pb.Sample(
        example=sample.example,
        prompt=sample.prompt,
        expected=sample.expected,
        before=sample.before,
        after=sample.after,
        after_step=sample.after_step,
    )


def answer_to(answer: SampleAnswer) -> pb.SampleAnswer:
    """Returns an answer as a message."""
    return pb.SampleAnswer(step=answer.step, text=answer.text)


def checkpoint_to(folder: Folder, best_step: int | None) -> pb.Checkpoint:
    """Returns a committed checkpoint as a message."""
    return pb.Checkpoint(
        name=folder.name,
        step=folder.step,
        epoch=folder.epoch,
        attempt=folder.attempt,
        size_bytes=folder.size_bytes,
        create_time=time_to(folder.committed_at),
        is_best=folder.step == best_step,
    )


def artifact_to(folder: Folder, urls: Mapping[str, SignedUrl]) -> pb.Artifact:
    """Returns a committed artifact with a URL for each file."""
    return pb.Artifact(
        name=folder.name,
        files=[file_to(file, urls) for file in folder.files],
        size_bytes=folder.size_bytes,
        create_time=time_to(folder.committed_at),
    )


def log_to(folder: Folder, urls: Mapping[str, SignedUrl]) -> pb.AttemptLog:
    """Returns the kept log of an attempt with a URL for its file."""
    [file] = folder.files
    return pb.AttemptLog(
        name=folder.name,
        attempt=folder.attempt,
        file=file_to(file, urls),
        create_time=time_to(folder.committed_at),
    )


def file_to(file: StoredFile, urls: Mapping[str, SignedUrl]) -> pb.ArtifactFile:
    """Returns a file with its URL."""
    signed = urls[file.object]
    return pb.ArtifactFile(
        path=file.path,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        url=signed.url,
        expire_time=time_to(signed.expires_at),
    )


def family_to(family: Family, unavailable_reason: str) -> pb.ModelFamily:
    """Returns a family as a message."""
    return pb.ModelFamily(
        family=family.name,
        description=family.description,
        model_class=family.model_class.rpartition(":")[2],
        objective=family.objective,
        takes=list(family.takes),
        methods=[pb.Adaptation.Method.Value(method) for method in family.methods],
        presets=sorted(preset.name for preset in PRESETS.values() if preset.family == family.name),
        unavailable_reason=unavailable_reason,
        gguf_convertible=family.gguf,
    )


def accelerator_to(parent: str, kind: AcceleratorKind) -> pb.Accelerator:
    """Returns a kind of accelerator as a message."""
    return pb.Accelerator(
        name=f"{parent}/accelerators/{kind.name}",
        memory_bytes=kind.memory_bytes,
        max_count=kind.max_count,
        spot_available=kind.has_spot,
        price_per_hour=kind.price_per_hour,
        spot_price_per_hour=kind.spot_price_per_hour,
        bf16_flops=kind.bf16_flops,
    )


def usage_to(found: Sum) -> pb.GetAcceleratorUsageResponse.AcceleratorUsage:
    """Returns the hours of one kind of accelerator as a message."""
    return pb.GetAcceleratorUsageResponse.AcceleratorUsage(
        accelerator=found.accelerator,
        accelerator_hours=found.hours,
        cost=found.cost,
        estimated_hours=found.estimated_hours,
    )


def told_to(told: Told) -> pb.WatchTrainingJobResponse:
    """Returns one message of a watch."""
    message = pb.WatchTrainingJobResponse(cursor=told.cursor)
    match told.update:
        case Event() as event:
            message.event.CopyFrom(event_to(event))
        case MetricPoint() as point:
            message.metric.CopyFrom(metric_to(point))
        case LogLine() as line:
            message.log_line.CopyFrom(log_line_to(line))
        case Job() as job:
            message.training_job.CopyFrom(job_to(job))
        case Present():
            message.snapshot_complete.SetInParent()
        case Heartbeat():
            pass  # Nothing but the cursor.
    return message


def time_to(value: datetime | None) -> Timestamp | None:
    """Returns the time as a message; None stays absent."""
    if value is None:
        return None
    result = Timestamp()
    result.FromDatetime(value)
    return result


def time_from(message: Timestamp) -> datetime:
    """Returns the time as an aware datetime."""
    return message.ToDatetime(UTC)


def duration_to(seconds: float) -> Duration:
    """Returns the duration as a message."""
    result = Duration()
    result.FromTimedelta(timedelta(seconds=seconds))
    return result


def base_to(base: Base) -> pb.BaseModel:
    """Returns what a training starts from as a message."""
    return ParseDict(base.model_dump(mode="json", exclude_none=True), pb.BaseModel())
