"""Training jobs, what they tell, and models."""

from collections.abc import Iterator, Sequence

from visiontune import names, watch
from visiontune.methods.calling import Calls, parse, rpc, with_request_id
from visiontune.trainer.v1 import trainer_pb2
from visiontune.transcode import call_for

_TRAINER = trainer_pb2.DESCRIPTOR.services_by_name["TrainerService"]

# A model's processor is loaded first, and a preset learns its tokenizer from all texts.
_PREVIEW_TIMEOUT_S = 120.0


class Training(Calls):
    """Training jobs, what they tell, and models."""

    # Jobs

    def validate_job(self, job: trainer_pb2.TrainingJob) -> trainer_pb2.ValidateTrainingJobResponse:
        """Everything that create_job would refuse, and the spec with every choice made."""
        request = trainer_pb2.ValidateTrainingJobRequest(parent=self.project, training_job=job)
        return self.call(
            rpc(_TRAINER, "ValidateTrainingJob"), request, trainer_pb2.ValidateTrainingJobResponse()
        )

    def preview_examples(
        self, job: trainer_pb2.TrainingJob, *, rows: Sequence[int] = (), count: int = 0
    ) -> trainer_pb2.PreviewTrainingExamplesResponse:
        """Examples as the job's model would get them: rows of the version, or `count` that it sees first."""
        request = trainer_pb2.PreviewTrainingExamplesRequest(
            parent=self.project, training_job=job, rows=rows, count=count
        )
        return self.call(
            rpc(_TRAINER, "PreviewTrainingExamples"),
            request,
            trainer_pb2.PreviewTrainingExamplesResponse(),
            timeout_s=_PREVIEW_TIMEOUT_S,
        )

    def create_job(self, job: trainer_pb2.TrainingJob, *, job_id: str = "") -> trainer_pb2.TrainingJob:
        """Queues a job. Raises InvalidArgument with one violation a problem."""
        request = trainer_pb2.CreateTrainingJobRequest(
            parent=self.project, training_job_id=job_id, training_job=job
        )
        return self.call(rpc(_TRAINER, "CreateTrainingJob"), request, trainer_pb2.TrainingJob())

    def get_job(self, name: str) -> trainer_pb2.TrainingJob:
        """One job."""
        request = trainer_pb2.GetTrainingJobRequest(name=self.job_name(name))
        return self.call(rpc(_TRAINER, "GetTrainingJob"), request, trainer_pb2.TrainingJob())

    def list_jobs(self, dataset: str = "") -> Iterator[trainer_pb2.TrainingJob]:
        """All jobs, newest first; or those on a dataset, or on a version of one, by its full name."""
        return self.pages(
            rpc(_TRAINER, "ListTrainingJobs"),
            trainer_pb2.ListTrainingJobsRequest(parent=self.project, dataset=dataset),
            trainer_pb2.ListTrainingJobsResponse(),
            "training_jobs",
        )

    def cancel_job(self, name: str) -> trainer_pb2.TrainingJob:
        """Asks a job to stop."""
        request = trainer_pb2.CancelTrainingJobRequest(name=self.job_name(name))
        return self.call(rpc(_TRAINER, "CancelTrainingJob"), request, trainer_pb2.TrainingJob())

    def pause_job(self, name: str) -> trainer_pb2.TrainingJob:
        """Asks a job to save where it is and to leave its machine."""
        request = trainer_pb2.PauseTrainingJobRequest(name=self.job_name(name))
        return self.call(rpc(_TRAINER, "PauseTrainingJob"), request, trainer_pb2.TrainingJob())

    def resume_job(self, name: str) -> trainer_pb2.TrainingJob:
        """Lets a paused job go on from where it was."""
        request = trainer_pb2.ResumeTrainingJobRequest(name=self.job_name(name))
        return self.call(rpc(_TRAINER, "ResumeTrainingJob"), request, trainer_pb2.TrainingJob())

    def delete_job(self, name: str) -> None:
        """Deletes an ended job; a registered model keeps its files."""
        request = trainer_pb2.DeleteTrainingJobRequest(name=self.job_name(name))
        self._transport.call(call_for(rpc(_TRAINER, "DeleteTrainingJob"), with_request_id(request)))

    def watch_job(self, name: str, cursor: str = "") -> Iterator[trainer_pb2.WatchTrainingJobResponse]:
        """Events, metrics and progress until the job ends; a cut connection is taken up again."""
        request = trainer_pb2.WatchTrainingJobRequest(name=self.job_name(name))
        call = call_for(rpc(_TRAINER, "WatchTrainingJob"), request)
        for event in watch.follow(self._transport, call, cursor):
            yield parse(event.data, trainer_pb2.WatchTrainingJobResponse())

    def list_log_lines(self, job: str) -> Iterator[trainer_pb2.LogLine]:
        """What the job's workers logged, oldest first."""
        return self.pages(
            rpc(_TRAINER, "ListLogLines"),
            trainer_pb2.ListLogLinesRequest(parent=self.job_name(job)),
            trainer_pb2.ListLogLinesResponse(),
            "log_lines",
        )

    def list_attempt_logs(self, job: str) -> Iterator[trainer_pb2.AttemptLog]:
        """The whole logs of the attempts that have ended, oldest first, with signed URLs."""
        return self.pages(
            rpc(_TRAINER, "ListAttemptLogs"),
            trainer_pb2.ListAttemptLogsRequest(parent=self.job_name(job)),
            trainer_pb2.ListAttemptLogsResponse(),
            "logs",
        )

    def list_metrics(self, job: str) -> Iterator[trainer_pb2.MetricPoint]:
        """A job's metric points in order of step."""
        return self.pages(
            rpc(_TRAINER, "ListMetrics"),
            trainer_pb2.ListMetricsRequest(parent=self.job_name(job)),
            trainer_pb2.ListMetricsResponse(),
            "points",
        )

    def list_events(self, job: str) -> Iterator[trainer_pb2.Event]:
        """A job's events, oldest first."""
        return self.pages(
            rpc(_TRAINER, "ListEvents"),
            trainer_pb2.ListEventsRequest(parent=self.job_name(job)),
            trainer_pb2.ListEventsResponse(),
            "events",
        )

    def list_samples(
        self, job: str, *, example: str = "", with_answers: bool = False
    ) -> Iterator[trainer_pb2.Sample]:
        """Predictions of the same held-out examples before and after training.

        example: only that of this one, by its full name. with_answers: what was said at each evaluation, too.
        """
        request = trainer_pb2.ListSamplesRequest(
            parent=self.job_name(job), example=example, with_answers=with_answers
        )
        return self.pages(
            rpc(_TRAINER, "ListSamples"),
            request,
            trainer_pb2.ListSamplesResponse(),
            "samples",
        )

    def list_artifacts(self, job: str) -> Iterator[trainer_pb2.Artifact]:
        """A job's artifacts with signed URLs."""
        return self.pages(
            rpc(_TRAINER, "ListArtifacts"),
            trainer_pb2.ListArtifactsRequest(parent=self.job_name(job)),
            trainer_pb2.ListArtifactsResponse(),
            "artifacts",
        )

    def job_name(self, name: str) -> str:
        """`projects/…/trainingJobs/…` of a short or a full name."""
        return names.full(name, self.project, "trainingJobs")

    # Models

    def accelerator_usage(self, job: str = "") -> trainer_pb2.GetAcceleratorUsageResponse:
        """Accelerator hours of the project, or of one job."""
        request = trainer_pb2.GetAcceleratorUsageRequest(
            parent=self.project, training_job=self.job_name(job) if job else ""
        )
        answer = trainer_pb2.GetAcceleratorUsageResponse()
        return self.call(rpc(_TRAINER, "GetAcceleratorUsage"), request, answer)

    def list_accelerators(self) -> Iterator[trainer_pb2.Accelerator]:
        """Kinds of accelerators that a job may ask for; none on a single machine."""
        return self.pages(
            rpc(_TRAINER, "ListAccelerators"),
            trainer_pb2.ListAcceleratorsRequest(parent=self.project),
            trainer_pb2.ListAcceleratorsResponse(),
            "accelerators",
        )

    def list_models(
        self, *, family: str = "", dataset: str = "", base: str = ""
    ) -> Iterator[trainer_pb2.Model]:
        """What a job can start from: presets first, then the project's models.

        family, dataset, base: only those of a family, or that came from a dataset or version, from a model,
        a preset, a repository or a folder, themselves or in an earlier generation; by full names.
        """
        return self.pages(
            rpc(_TRAINER, "ListModels"),
            trainer_pb2.ListModelsRequest(parent=self.project, family=family, dataset=dataset, base=base),
            trainer_pb2.ListModelsResponse(),
            "models",
        )

    def get_model(self, name: str) -> trainer_pb2.Model:
        """A registered model with its lineage."""
        request = trainer_pb2.GetModelRequest(name=self.model_name(name))
        return self.call(rpc(_TRAINER, "GetModel"), request, trainer_pb2.Model())

    def list_model_files(self, name: str) -> Iterator[trainer_pb2.ArtifactFile]:
        """A registered model's files with signed URLs."""
        return self.pages(
            rpc(_TRAINER, "ListModelFiles"),
            trainer_pb2.ListModelFilesRequest(parent=self.model_name(name)),
            trainer_pb2.ListModelFilesResponse(),
            "files",
        )

    def delete_model(self, name: str, *, etag: str = "") -> None:
        """Deletes a registered model, and its files unless its job or another model has them."""
        request = trainer_pb2.DeleteModelRequest(name=self.model_name(name), etag=etag)
        self._transport.call(call_for(rpc(_TRAINER, "DeleteModel"), with_request_id(request)))

    def model_name(self, name: str) -> str:
        """`projects/…/models/…` of a short or a full name."""
        return names.full(name, self.project, "models")

    def register_model(
        self, model_id: str, job: str, *, description: str = "", artifact: str = ""
    ) -> trainer_pb2.Model:
        """Gives the result of a job a name from which later jobs can start.

        artifact: `merged` for the whole model beside an adapter; empty for what was trained.
        """
        model = trainer_pb2.Model(training_job=self.job_name(job), description=description, artifact=artifact)
        request = trainer_pb2.RegisterModelRequest(parent=self.project, model_id=model_id, model=model)
        return self.call(rpc(_TRAINER, "RegisterModel"), request, trainer_pb2.Model())

    def list_model_families(self) -> list[trainer_pb2.ModelFamily]:
        """Families of models that can be trained."""
        answer = self.call(
            rpc(_TRAINER, "ListModelFamilies"),
            trainer_pb2.ListModelFamiliesRequest(),
            trainer_pb2.ListModelFamiliesResponse(),
        )
        return list(answer.families)
