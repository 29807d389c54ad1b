"""The methods of TrainerService: parse, call one use case, reply."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, TypeVar

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune.trainer.v1 import trainer_pb2_grpc
from visiontune_kit import pages, telemetry
from visiontune_kit.errors import InvalidArgument, Violation
from visiontune_kit.idempotency import new_id
from visiontune_kit.identity import Role
from visiontune_kit.server import ShuttingDown, stopping
from visiontune_recipes.presets import Preset

from visiontune_trainer import model_wire, wire
from visiontune_trainer.domain.job import Job, project_of
from visiontune_trainer.domain.models import Model
from visiontune_trainer.use_cases import catalogue, jobs, models, pauses, records, usage, watch
from visiontune_trainer.use_cases.deps import Deps

NAME = "visiontune.trainer.v1.TrainerService"
_METHODS = {
    Role.VIEWER: (
        "ValidateTrainingJob",
        "PreviewTrainingExamples",
        "GetTrainingJob",
        "ListTrainingJobs",
        "WatchTrainingJob",
        "ListEvents",
        "ListMetrics",
        "ListLogLines",
        "ListAttemptLogs",
        "ListCheckpoints",
        "ListSamples",
        "ListArtifacts",
        "ListModels",
        "GetModel",
        "ListModelFiles",
        "ListModelFamilies",
        "GetAcceleratorUsage",
        "ListAccelerators",
    ),
    Role.EDITOR: (
        "CreateTrainingJob",
        "CancelTrainingJob",
        "PauseTrainingJob",
        "ResumeTrainingJob",
        "DeleteTrainingJob",
        "RegisterModel",
        "DeleteModel",
    ),
}
ACCESS: Mapping[str, Role] = {
    f"/{NAME}/{method}": role for role, methods in _METHODS.items() for method in methods
}
UNSCOPED = frozenset({f"/{NAME}/ListModelFamilies"})

# Samples in an answer with all that was said about each: 100 times 8 KiB, below the 4 MiB of a message.
_MOST_ANSWERED = 4
T = TypeVar("T")


class TrainingJobRequired(InvalidArgument):
    """A model is made of a job's result."""

    def __init__(self) -> None:
        message = "Name the job whose result the model is."
        violation = Violation("model.training_job", message, "TrainingJobRequired")
        super().__init__(f"model.training_job: {message}", violations=[violation])


class TrainerService(trainer_pb2_grpc.TrainerServiceServicer):
    """See trainer.proto."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def ValidateTrainingJob(
        self, request: pb.ValidateTrainingJobRequest, context: Any
    ) -> pb.ValidateTrainingJobResponse:
        spec = wire.spec_from(request.training_job.spec)
        return wire.plan_to(await jobs.plan(project_of(request.parent), spec, self._deps))

    async def PreviewTrainingExamples(
        self, request: pb.PreviewTrainingExamplesRequest, context: Any
    ) -> pb.PreviewTrainingExamplesResponse:
        spec = wire.spec_from(request.training_job.spec)
        count = pages.clamp(request.count, default=4, most=16)
        shown = await jobs.preview_examples(
            project_of(request.parent), spec, list(request.rows), count, self._deps
        )
        return pb.PreviewTrainingExamplesResponse.FromString(shown.message)

    async def CreateTrainingJob(self, request: pb.CreateTrainingJobRequest, context: Any) -> pb.TrainingJob:
        uid = new_id("uid")
        command = jobs.CreateJob(
            name=f"{request.parent}/trainingJobs/{request.training_job_id or new_id('job')}",
            project=project_of(request.parent),
            uid=uid,
            display_name=request.training_job.display_name,
            spec=wire.spec_from(request.training_job.spec),
            traceparent=telemetry.current_traceparent(),
        )
        return wire.job_to(await jobs.create_job(command, self._deps))

    async def GetTrainingJob(self, request: pb.GetTrainingJobRequest, context: Any) -> pb.TrainingJob:
        return wire.job_to(await jobs.get_job(request.name, self._deps))

    async def ListTrainingJobs(
        self, request: pb.ListTrainingJobsRequest, context: Any
    ) -> pb.ListTrainingJobsResponse:
        limit = pages.clamp(request.page_size, default=50, most=1_000)
        after = pages.time_and_name(pages.decode(request, request.page_token))
        found = await jobs.list_jobs(
            project_of(request.parent), request.dataset, after, limit + 1, self._deps
        )
        page, token = _cut(request, found, limit, _position_of)
        return pb.ListTrainingJobsResponse(
            training_jobs=[wire.job_to(job) for job in page], next_page_token=token
        )

    async def CancelTrainingJob(self, request: pb.CancelTrainingJobRequest, context: Any) -> pb.TrainingJob:
        return wire.job_to(await jobs.cancel_job(request.name, self._deps))

    async def PauseTrainingJob(self, request: pb.PauseTrainingJobRequest, context: Any) -> pb.TrainingJob:
        return wire.job_to(await pauses.pause_job(request.name, self._deps))

    async def ResumeTrainingJob(self, request: pb.ResumeTrainingJobRequest, context: Any) -> pb.TrainingJob:
        return wire.job_to(await pauses.resume_job(request.name, self._deps))

    async def DeleteTrainingJob(self, request: pb.DeleteTrainingJobRequest, context: Any) -> Empty:
        await jobs.delete_job(request.name, self._deps)
        return Empty()

    async def WatchTrainingJob(
        self, request: pb.WatchTrainingJobRequest, context: Any
    ) -> AsyncIterator[pb.WatchTrainingJobResponse]:
        stop = stopping()
        async for told in watch.watch(request.name, request.cursor, self._deps, stop.is_set):
            yield wire.told_to(told)
        if stop.is_set():
            raise ShuttingDown

    async def ListEvents(self, request: pb.ListEventsRequest, context: Any) -> pb.ListEventsResponse:
        limit = pages.clamp(request.page_size, default=100, most=1_000)
        found = await records.list_events(request.parent, _number(request, 0), limit + 1, self._deps)
        page, token = _cut(request, found, limit, lambda event: [event.sequence])
        return pb.ListEventsResponse(events=[wire.event_to(event) for event in page], next_page_token=token)

    async def ListMetrics(self, request: pb.ListMetricsRequest, context: Any) -> pb.ListMetricsResponse:
        limit = pages.clamp(request.page_size, default=1_000, most=10_000)
        found = await records.list_metrics(request.parent, _number(request, -1), limit + 1, self._deps)
        page, token = _cut(request, found, limit, lambda point: [point.step])
        return pb.ListMetricsResponse(points=[wire.metric_to(point) for point in page], next_page_token=token)

    async def ListLogLines(self, request: pb.ListLogLinesRequest, context: Any) -> pb.ListLogLinesResponse:
        limit = pages.clamp(request.page_size, default=200, most=1_000)
        found = await records.list_log_lines(request.parent, _number(request, 0), limit + 1, self._deps)
        page, token = _cut(request, found, limit, lambda line: [line.sequence])
        return pb.ListLogLinesResponse(
            log_lines=[wire.log_line_to(line) for line in page], next_page_token=token
        )

    async def ListAttemptLogs(
        self, request: pb.ListAttemptLogsRequest, context: Any
    ) -> pb.ListAttemptLogsResponse:
        found = await records.list_logs(request.parent, self._deps)
        page, token = _slice(request, found, default=100, most=1_000)
        objects = [file.object for folder in page for file in folder.files]
        urls = await records.sign_objects(project_of(request.parent), objects, self._deps)
        return pb.ListAttemptLogsResponse(
            logs=[wire.log_to(folder, urls) for folder in page], next_page_token=token
        )

    async def ListCheckpoints(
        self, request: pb.ListCheckpointsRequest, context: Any
    ) -> pb.ListCheckpointsResponse:
        found, best_step = await records.list_checkpoints(request.parent, self._deps)
        page, token = _slice(request, found, default=100, most=1_000)
        return pb.ListCheckpointsResponse(
            checkpoints=[wire.checkpoint_to(folder, best_step) for folder in page], next_page_token=token
        )

    async def ListSamples(self, request: pb.ListSamplesRequest, context: Any) -> pb.ListSamplesResponse:
        found = await records.list_samples(request.parent, request.example, self._deps)
        most = _MOST_ANSWERED if request.with_answers else 64
        page, token = _slice(request, found, default=most, most=most)
        messages = [wire.sample_to(sample) for sample in page]
        if request.with_answers:
            for message, answers in zip(messages, await records.answers_to(page, self._deps), strict=True):
                message.answers.extend(wire.answer_to(answer) for answer in answers)
        return pb.ListSamplesResponse(samples=messages, next_page_token=token)

    async def ListArtifacts(self, request: pb.ListArtifactsRequest, context: Any) -> pb.ListArtifactsResponse:
        found = await records.list_artifacts(request.parent, self._deps)
        page, token = _slice(request, found, default=100, most=100)
        return pb.ListArtifactsResponse(
            artifacts=[wire.artifact_to(folder, urls) for folder, urls in page], next_page_token=token
        )

    async def ListModels(self, request: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:
        limit = pages.clamp(request.page_size, default=50, most=1_000)
        position = pages.decode(request, request.page_token)
        after = None if position and len(position) == 1 else pages.time_and_name(position)
        last_preset = str(position[0]) if position else ""
        wanted = model_wire.filter_from(request)
        presets = [] if after else catalogue.presets_after(last_preset, wanted, self._deps)
        project = project_of(request.parent)
        registered = await models.list_models(project, wanted, after, limit + 1, self._deps)
        found: list[Preset | Model] = [*presets, *registered]
        page, token = _cut(request, found, limit, _position_of_model)
        return pb.ListModelsResponse(models=map(model_wire.listed_to, page), next_page_token=token)

    async def GetModel(self, request: pb.GetModelRequest, context: Any) -> pb.Model:
        return model_wire.model_to(*await models.get_model(request.name, self._deps))

    async def ListModelFiles(
        self, request: pb.ListModelFilesRequest, context: Any
    ) -> pb.ListModelFilesResponse:
        start, limit = _number(request, 0), pages.clamp(request.page_size, default=100, most=1_000)
        files, urls = await models.list_files(request.parent, start, limit + 1, self._deps)
        page, token = _cut(request, files, limit, lambda _: [start + limit])
        return pb.ListModelFilesResponse(
            files=[wire.file_to(file, urls) for file in page], next_page_token=token
        )

    async def RegisterModel(self, request: pb.RegisterModelRequest, context: Any) -> pb.Model:
        if not request.model.training_job:
            raise TrainingJobRequired
        command = models.RegisterModel(
            name=f"{request.parent}/models/{request.model_id}",
            project=project_of(request.parent),
            uid=new_id("uid"),
            training_job=request.model.training_job,
            artifact=request.model.artifact,
            display_name=request.model.display_name,
            description=request.model.description,
        )
        return model_wire.model_to(await models.register_model(command, self._deps))

    async def DeleteModel(self, request: pb.DeleteModelRequest, context: Any) -> Empty:
        await models.delete_model(request.name, request.etag, self._deps)
        return Empty()

    async def GetAcceleratorUsage(
        self, request: pb.GetAcceleratorUsageRequest, context: Any
    ) -> pb.GetAcceleratorUsageResponse:
        start = wire.time_from(request.start_time) if request.HasField("start_time") else None
        end = wire.time_from(request.end_time) if request.HasField("end_time") else None
        project = project_of(request.parent)
        sums = await usage.usage_of(project, request.training_job, start, end, self._deps)
        return pb.GetAcceleratorUsageResponse(usage=[wire.usage_to(each) for each in sums])

    async def ListAccelerators(
        self, request: pb.ListAcceleratorsRequest, context: Any
    ) -> pb.ListAcceleratorsResponse:
        found = self._deps.backend.accelerators()
        page, token = _slice(request, found, default=100, most=1_000)
        return pb.ListAcceleratorsResponse(
            accelerators=[wire.accelerator_to(request.parent, kind) for kind in page], next_page_token=token
        )

    async def ListModelFamilies(
        self, request: pb.ListModelFamiliesRequest, context: Any
    ) -> pb.ListModelFamiliesResponse:
        families = catalogue.families(self._deps)
        return pb.ListModelFamiliesResponse(families=[wire.family_to(*each) for each in families])


def _cut(
    request: Message, found: Sequence[T], limit: int, position: Callable[[T], list[str | int]]
) -> tuple[Sequence[T], str]:
    """Cuts one more than `limit` down to the page; returns it and the token of the next."""
    page = found[:limit]
    return page, pages.encode(request, position(page[-1])) if len(found) > limit else ""


def _slice(request: Any, found: Sequence[T], *, default: int, most: int) -> tuple[Sequence[T], str]:
    """Pages a short list that is read whole."""
    start = _number(request, 0)
    limit = pages.clamp(request.page_size, default=default, most=most)
    return _cut(request, found[start : start + limit + 1], limit, lambda _: [start + limit])


def _number(request: Any, first: int) -> int:
    found = pages.number(pages.decode(request, request.page_token))
    return first if found is None else found


def _position_of(found: Job | Model) -> list[str | int]:
    return [found.created_at.isoformat(), found.name]


def _position_of_model(found: Preset | Model) -> list[str | int]:
    return _position_of(found) if isinstance(found, Model) else [found.name]
