"""The client: one method a question that the API answers. Answers are the contracts' own messages."""

import hashlib
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from google.api import httpbody_pb2
from google.longrunning import operations_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.json_format import MessageToDict, Parse, ParseDict
from google.protobuf.message import Message
from google.rpc import error_details_pb2  # noqa: F401 (registers the details of errors for parsing)

from visiontune import errors, names, uploads, watch
from visiontune.dataset.v1 import dataset_pb2
from visiontune.identity.v1 import identity_pb2
from visiontune.storage.v1 import storage_pb2
from visiontune.trainer.v1 import augmentation_pb2, trainer_pb2
from visiontune.transcode import call_for
from visiontune.transport import Transport, json_of

M = TypeVar("M", bound=Message)

_DATASETS = dataset_pb2.DESCRIPTOR.services_by_name["DatasetService"]
_IDENTITY = identity_pb2.DESCRIPTOR.services_by_name["IdentityService"]
_OPERATIONS = operations_pb2.DESCRIPTOR.services_by_name["Operations"]
_STORAGE = storage_pb2.DESCRIPTOR.services_by_name["StorageService"]
_TRAINER = trainer_pb2.DESCRIPTOR.services_by_name["TrainerService"]
# The server reads the whole object once before it answers. A gateway waits less than that for one call,
# but the reading goes on, and the next call joins it.
_COMPLETE_TIMEOUT_S = 600.0
# What a server allows a small file to arrive.
_SEND_TIMEOUT_S = 60.0
# The first preview loads torch.
_PREVIEW_TIMEOUT_S = 120.0

FINAL_STATES = frozenset(
    {
        trainer_pb2.TrainingJob.STATE_SUCCEEDED,
        trainer_pb2.TrainingJob.STATE_FAILED,
        trainer_pb2.TrainingJob.STATE_CANCELLED,
    }
)


class Client:
    """Speaks to one server as one project.

    Names may be short (`digits`, `digits/v1`, a job's id) or full (`projects/…`). Every method raises
    errors.ApiFailure subclasses for what the server refuses and errors.Unreachable when there is none.
    A server that has answered, or is `known_to_run`, is waited for when it is away; `on_wait` then hears why.
    """

    def __init__(
        self,
        server: str,
        api_key: str,
        *,
        project: str = "",
        timeout_s: float = 30.0,
        trace_id: str = "",
        known_to_run: bool = False,
        on_wait: Callable[[str], None] = lambda _why: None,
    ) -> None:
        self._transport = Transport(server, api_key, timeout_s=timeout_s, trace_id=trace_id, tell=on_wait)
        self._transport.answered = known_to_run
        self._project = f"projects/{project}" if project else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes idle connections."""
        self._transport.http.close()

    @property
    def server(self) -> str:
        """The server's URL."""
        return self._transport.server

    @property
    def project(self) -> str:
        """`projects/{project}`: as given, else the key's own."""
        if not self._project:
            self._project = self.get_caller().project
        return self._project

    # Any method, also one that this class does not name.

    def call(
        self, method: MethodDescriptor, request: Message, answer: M, timeout_s: float | None = None
    ) -> M:
        """Calls a unary method and returns `answer`, filled. A `request_id` is added where it can be."""
        call = call_for(method, _with_request_id(request))
        data = json_of(self._transport.call(call, timeout_s))
        return ParseDict(data, answer, ignore_unknown_fields=True)

    def pages(self, method: MethodDescriptor, request: Any, answer: M, field: str) -> Iterator[Any]:
        """Every entry of a list method, page after page."""
        while True:
            answer.Clear()
            page: Any = self.call(method, request, answer)
            yield from list(getattr(page, field))
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    # Identity

    def get_caller(self) -> identity_pb2.Caller:
        """Whose key this is."""
        return self.call(
            _method(_IDENTITY, "GetCaller"), identity_pb2.GetCallerRequest(), identity_pb2.Caller()
        )

    # Uploads

    def upload(self, path: Path, **options: Any) -> storage_pb2.Upload:
        """Uploads a file; see visiontune.uploads.upload for the options."""
        return uploads.upload(self, path, **options)

    def upload_bytes(self, content: bytes, filename: str, *, content_type: str = "") -> storage_pb2.Upload:
        """Uploads a small file through the server, which says how small, where the store is out of reach."""
        request = storage_pb2.UploadBytesRequest(
            parent=self.project,
            filename=filename,
            sha256=hashlib.sha256(content).hexdigest(),
            size_bytes=len(content),
            body=httpbody_pb2.HttpBody(content_type=content_type, data=content),
        )
        return self.call(_method(_STORAGE, "UploadBytes"), request, storage_pb2.Upload(), _SEND_TIMEOUT_S)

    def create_upload(self, upload: storage_pb2.Upload) -> storage_pb2.Upload:
        """Reserves quota and returns URLs to PUT the parts to."""
        request = storage_pb2.CreateUploadRequest(parent=self.project, upload=upload)
        return self.call(_method(_STORAGE, "CreateUpload"), request, storage_pb2.Upload())

    def get_upload(self, name: str) -> storage_pb2.Upload:
        """An upload with fresh URLs and the parts that arrived."""
        request = storage_pb2.GetUploadRequest(name=names.full(name, self.project, "uploads"))
        return self.call(_method(_STORAGE, "GetUpload"), request, storage_pb2.Upload())

    def complete_upload(self, name: str, parts: list[storage_pb2.Part]) -> storage_pb2.Upload:
        """Verifies what was sent and makes it an object; asks again while a large one is still being read."""
        request = storage_pb2.CompleteUploadRequest(name=name, parts=parts)
        method, pauses = _method(_STORAGE, "CompleteUpload"), watch.intervals()
        while True:
            waited_s = next(pauses)
            try:
                return self.call(method, request, storage_pb2.Upload(), timeout_s=_COMPLETE_TIMEOUT_S)
            except (errors.DeadlineExceeded, errors.Unavailable):
                if waited_s > _COMPLETE_TIMEOUT_S:
                    raise

    def abort_upload(self, name: str) -> storage_pb2.Upload:
        """Gives an upload up and frees its quota."""
        request = storage_pb2.AbortUploadRequest(name=names.full(name, self.project, "uploads"))
        return self.call(_method(_STORAGE, "AbortUpload"), request, storage_pb2.Upload())

    # Storage

    def get_quota(self) -> storage_pb2.Quota:
        """The project's limits and what is used."""
        request = storage_pb2.GetQuotaRequest(name=f"{self.project}/quota")
        return self.call(_method(_STORAGE, "GetQuota"), request, storage_pb2.Quota())

    def update_quota(self, limits: Mapping[str, int | None]) -> storage_pb2.Quota:
        """Sets limits by their field, such as `limit_bytes`; None is the default. For operators."""
        quota = storage_pb2.Quota(
            name=f"{self.project}/quota",
            **{field: value for field, value in limits.items() if value is not None},  # type: ignore[arg-type]
        )
        request = storage_pb2.UpdateQuotaRequest(quota=quota)
        request.update_mask.paths.extend(limits)
        return self.call(_method(_STORAGE, "UpdateQuota"), request, storage_pb2.Quota())

    def get_storage_usage(self, *, days: int = 30) -> storage_pb2.GetUsageResponse:
        """What the project keeps now, and kept in these days, by kind of owner."""
        request = storage_pb2.GetUsageRequest(parent=self.project)
        request.start_time.FromSeconds(int(time.time()) - 86_400 * days)
        return self.call(_method(_STORAGE, "GetUsage"), request, storage_pb2.GetUsageResponse())

    def collect_garbage(self, *, everywhere: bool = False, dry_run: bool = False) -> operations_pb2.Operation:
        """Starts removing what nobody needs any more, or counting it; everywhere: of all projects."""
        parent = "projects/-" if everywhere else self.project
        request = storage_pb2.CollectGarbageRequest(parent=parent, dry_run=dry_run)
        return self.call(_method(_STORAGE, "CollectGarbage"), request, operations_pb2.Operation())

    def undelete_objects(self, objects: Sequence[str]) -> storage_pb2.UndeleteObjectsResponse:
        """Takes back deletions whose undo window has not ended."""
        request = storage_pb2.UndeleteObjectsRequest(parent=self.project, objects=objects)
        return self.call(_method(_STORAGE, "UndeleteObjects"), request, storage_pb2.UndeleteObjectsResponse())

    def list_quota_alerts(self) -> Iterator[storage_pb2.QuotaAlert]:
        """Times that use rose to 80 or 100 % of a limit, newest first."""
        return self.pages(
            _method(_STORAGE, "ListQuotaAlerts"),
            storage_pb2.ListQuotaAlertsRequest(parent=self.project),
            storage_pb2.ListQuotaAlertsResponse(),
            "alerts",
        )

    # Datasets

    def create_dataset(
        self, dataset_id: str, *, display_name: str = "", description: str = ""
    ) -> dataset_pb2.Dataset:
        """Makes an empty dataset. Raises AlreadyExists."""
        request = dataset_pb2.CreateDatasetRequest(
            parent=self.project,
            dataset_id=dataset_id,
            dataset=dataset_pb2.Dataset(display_name=display_name, description=description),
        )
        return self.call(_method(_DATASETS, "CreateDataset"), request, dataset_pb2.Dataset())

    def get_dataset(self, name: str) -> dataset_pb2.Dataset:
        """One dataset."""
        request = dataset_pb2.GetDatasetRequest(name=self.dataset_name(name))
        return self.call(_method(_DATASETS, "GetDataset"), request, dataset_pb2.Dataset())

    def list_datasets(self, *, deleted: bool = False) -> Iterator[dataset_pb2.Dataset]:
        """All datasets, newest first; or the deleted ones that can be brought back."""
        return self.pages(
            _method(_DATASETS, "ListDatasets"),
            dataset_pb2.ListDatasetsRequest(parent=self.project, only_deleted=deleted),
            dataset_pb2.ListDatasetsResponse(),
            "datasets",
        )

    def delete_dataset(self, name: str, *, force: bool = False, purge: bool = False) -> None:
        """Deletes a dataset; with `force` also its versions, with `purge` without a way back."""
        request = dataset_pb2.DeleteDatasetRequest(name=self.dataset_name(name), force=force, purge=purge)
        self._transport.call(call_for(_method(_DATASETS, "DeleteDataset"), _with_request_id(request)))

    def undelete_dataset(self, name: str) -> dataset_pb2.Dataset:
        """Brings a deleted dataset back."""
        request = dataset_pb2.UndeleteDatasetRequest(name=self.dataset_name(name))
        return self.call(_method(_DATASETS, "UndeleteDataset"), request, dataset_pb2.Dataset())

    def import_version(self, request: dataset_pb2.ImportVersionRequest) -> operations_pb2.Operation:
        """Starts the import of an upload; `wait` for the operation."""
        return self.call(_method(_DATASETS, "ImportVersion"), request, operations_pb2.Operation())

    def get_version(self, name: str) -> dataset_pb2.DatasetVersion:
        """One version; `DATASET` alone means its newest. Raises FailedPrecondition when it has none."""
        request = dataset_pb2.GetVersionRequest(name=self.version_name(name))
        return self.call(_method(_DATASETS, "GetVersion"), request, dataset_pb2.DatasetVersion())

    def list_versions(self, dataset: str, *, deleted: bool = False) -> Iterator[dataset_pb2.DatasetVersion]:
        """A dataset's versions, newest first; or the deleted ones that can be brought back."""
        return self.pages(
            _method(_DATASETS, "ListVersions"),
            dataset_pb2.ListVersionsRequest(parent=self.dataset_name(dataset), only_deleted=deleted),
            dataset_pb2.ListVersionsResponse(),
            "versions",
        )

    def list_examples(
        self, version: str, *, split: str = "", filter_: str = "", query: str = "", page_size: int = 200
    ) -> Iterator[dataset_pb2.Example]:
        """A version's examples in row order; docs/filters.md tells of `filter_`."""
        return self.pages(
            _method(_DATASETS, "ListExamples"),
            dataset_pb2.ListExamplesRequest(
                parent=self.version_name(version),
                split=split,
                filter=filter_,
                query=query,
                page_size=page_size,
            ),
            dataset_pb2.ListExamplesResponse(),
            "examples",
        )

    def compare_versions(
        self, version: str, base: str = "", page_size: int = 200
    ) -> Iterator[dataset_pb2.CompareVersionsResponse]:
        """Pages of what differs from `base`; if empty, from the version it was made of or the one before."""
        request = dataset_pb2.CompareVersionsRequest(
            name=self.version_name(version),
            base=self.version_name(base) if base else "",
            page_size=page_size,
        )
        while True:
            page = self.call(
                _method(_DATASETS, "CompareVersions"), request, dataset_pb2.CompareVersionsResponse()
            )
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def get_example_image(self, example: str, index: int = 0) -> bytes:
        """The original bytes of one image."""
        request = dataset_pb2.GetExampleImageRequest(name=example, index=index)
        return self._transport.call(call_for(_method(_DATASETS, "GetExampleImage"), request)).content

    def preview_augmentation(
        self,
        version: str,
        augmentation: augmentation_pb2.Augmentation,
        *,
        rows: Sequence[int] = (),
        count: int = 0,
        seed: int | None = None,
        model_preset: str = "",
        side_px: int = 0,
    ) -> dataset_pb2.PreviewAugmentationResponse:
        """What training would see of a few pictures: the same ones for the same seed, row and epoch."""
        request = dataset_pb2.PreviewAugmentationRequest(
            parent=self.version_name(version),
            augmentation=augmentation,
            rows=rows,
            count=count,
            seed=seed,
            model_preset=model_preset,
            side_px=side_px,
        )
        return self.call(
            _method(_DATASETS, "PreviewAugmentation"),
            request,
            dataset_pb2.PreviewAugmentationResponse(),
            timeout_s=_PREVIEW_TIMEOUT_S,
        )

    def get_statistics(self, version: str) -> dataset_pb2.Statistics:
        """Numbers about a version."""
        request = dataset_pb2.GetStatisticsRequest(name=f"{self.version_name(version)}/statistics")
        return self.call(_method(_DATASETS, "GetStatistics"), request, dataset_pb2.Statistics())

    def get_validation_report(self, name: str) -> dataset_pb2.ValidationReport:
        """What an import found."""
        request = dataset_pb2.GetValidationReportRequest(name=name)
        return self.call(_method(_DATASETS, "GetValidationReport"), request, dataset_pb2.ValidationReport())

    def list_problems(self, report: str) -> Iterator[dataset_pb2.Problem]:
        """Everything that an import found, in order; a report itself has the first places of each rule."""
        return self.pages(
            _method(_DATASETS, "ListProblems"),
            dataset_pb2.ListProblemsRequest(parent=report),
            dataset_pb2.ListProblemsResponse(),
            "problems",
        )

    def delete_version(self, name: str, *, force: bool = False, purge: bool = False) -> None:
        """Deletes `digits/v1`; with `force` also while it is in use, with `purge` without a way back."""
        request = dataset_pb2.DeleteVersionRequest(name=self.version_name(name), force=force, purge=purge)
        self._transport.call(call_for(_method(_DATASETS, "DeleteVersion"), _with_request_id(request)))

    def undelete_version(self, name: str) -> dataset_pb2.DatasetVersion:
        """Brings a deleted version, `digits/v1`, back."""
        request = dataset_pb2.UndeleteVersionRequest(name=self.version_name(name))
        return self.call(_method(_DATASETS, "UndeleteVersion"), request, dataset_pb2.DatasetVersion())

    def export_version(
        self, version: str, format_: str = "", archive: str = "tar.gz"
    ) -> operations_pb2.Operation:
        """Starts to write a version as an archive: tar.gz, tar or zip; `wait` for the operation."""
        request = dataset_pb2.ExportVersionRequest(
            name=self.version_name(version),
            format=format_,
            archive=dataset_pb2.ExportVersionRequest.Archive.Value(
                f"ARCHIVE_{archive.replace('.', '_').upper()}"
            ),
        )
        return self.call(_method(_DATASETS, "ExportVersion"), request, operations_pb2.Operation())

    def get_export(self, name: str) -> dataset_pb2.Export:
        """One export, by its full name, with a fresh URL."""
        request = dataset_pb2.GetExportRequest(name=name)
        return self.call(_method(_DATASETS, "GetExport"), request, dataset_pb2.Export())

    # Drafts: edits that become a version

    def create_draft(self, dataset: str, base_version: str = "") -> dataset_pb2.Draft:
        """Begins to edit a version, of a dataset the newest."""
        draft = dataset_pb2.Draft(base_version=self.version_name(base_version) if base_version else "")
        request = dataset_pb2.CreateDraftRequest(parent=self.dataset_name(dataset), draft=draft)
        return self.call(_method(_DATASETS, "CreateDraft"), request, dataset_pb2.Draft())

    def get_draft(self, name: str) -> dataset_pb2.Draft:
        """One draft, by its full name."""
        request = dataset_pb2.GetDraftRequest(name=name)
        return self.call(_method(_DATASETS, "GetDraft"), request, dataset_pb2.Draft())

    def list_drafts(self, dataset: str) -> Iterator[dataset_pb2.Draft]:
        """A dataset's drafts, newest first."""
        return self.pages(
            _method(_DATASETS, "ListDrafts"),
            dataset_pb2.ListDraftsRequest(parent=self.dataset_name(dataset)),
            dataset_pb2.ListDraftsResponse(),
            "drafts",
        )

    def delete_draft(self, name: str) -> None:
        """Gives a draft up."""
        request = dataset_pb2.DeleteDraftRequest(name=name)
        self._transport.call(call_for(_method(_DATASETS, "DeleteDraft"), _with_request_id(request)))

    def edit_examples(
        self, draft: str, edits: Iterable[dataset_pb2.Edit], etag: str = ""
    ) -> dataset_pb2.EditExamplesResponse:
        """Adds up to 500 edits to a draft, all or none. Raises InvalidArgument with a violation an error."""
        request = dataset_pb2.EditExamplesRequest(name=draft, etag=etag, edits=edits)
        return self.call(_method(_DATASETS, "EditExamples"), request, dataset_pb2.EditExamplesResponse())

    def list_edits(self, draft: str) -> Iterator[dataset_pb2.Edit]:
        """A draft's edits in order."""
        return self.pages(
            _method(_DATASETS, "ListEdits"),
            dataset_pb2.ListEditsRequest(parent=draft),
            dataset_pb2.ListEditsResponse(),
            "edits",
        )

    def revert_edits(self, draft: str, numbers: Iterable[int] = (), etag: str = "") -> dataset_pb2.Draft:
        """Takes edits out of a draft; none given means all."""
        request = dataset_pb2.RevertEditsRequest(name=draft, numbers=numbers, etag=etag)
        return self.call(_method(_DATASETS, "RevertEdits"), request, dataset_pb2.Draft())

    def rebase_draft(self, draft: str, etag: str = "") -> dataset_pb2.Draft:
        """Moves a draft to the newest version. Raises Aborted where that changed what the draft edits."""
        request = dataset_pb2.RebaseDraftRequest(name=draft, etag=etag)
        return self.call(_method(_DATASETS, "RebaseDraft"), request, dataset_pb2.Draft())

    def commit_version(self, draft: str, etag: str = "") -> operations_pb2.Operation:
        """Starts to make a version of a draft; `wait` for the operation."""
        request = dataset_pb2.CommitVersionRequest(name=draft, etag=etag)
        return self.call(_method(_DATASETS, "CommitVersion"), request, operations_pb2.Operation())

    def list_formats(self) -> list[dataset_pb2.Format]:
        """The formats that archives may have."""
        answer = self.call(
            _method(_DATASETS, "ListFormats"),
            dataset_pb2.ListFormatsRequest(),
            dataset_pb2.ListFormatsResponse(),
        )
        return list(answer.formats)

    def get_template(self, format_name: str) -> bytes:
        """A small dataset of a format to start from, as a zip."""
        request = dataset_pb2.GetTemplateRequest(format=format_name)
        return self._transport.call(call_for(_method(_DATASETS, "GetTemplate"), request)).content

    # Jobs

    def validate_job(self, job: trainer_pb2.TrainingJob) -> trainer_pb2.ValidateTrainingJobResponse:
        """Everything that create_job would refuse, and the spec with every choice made."""
        request = trainer_pb2.ValidateTrainingJobRequest(parent=self.project, training_job=job)
        return self.call(
            _method(_TRAINER, "ValidateTrainingJob"), request, trainer_pb2.ValidateTrainingJobResponse()
        )

    def create_job(self, job: trainer_pb2.TrainingJob, *, job_id: str = "") -> trainer_pb2.TrainingJob:
        """Queues a job. Raises InvalidArgument with one violation a problem."""
        request = trainer_pb2.CreateTrainingJobRequest(
            parent=self.project, training_job_id=job_id, training_job=job
        )
        return self.call(_method(_TRAINER, "CreateTrainingJob"), request, trainer_pb2.TrainingJob())

    def get_job(self, name: str) -> trainer_pb2.TrainingJob:
        """One job."""
        request = trainer_pb2.GetTrainingJobRequest(name=self.job_name(name))
        return self.call(_method(_TRAINER, "GetTrainingJob"), request, trainer_pb2.TrainingJob())

    def list_jobs(self, dataset: str = "") -> Iterator[trainer_pb2.TrainingJob]:
        """All jobs, newest first; or those on a dataset, or on a version of one, by its full name."""
        return self.pages(
            _method(_TRAINER, "ListTrainingJobs"),
            trainer_pb2.ListTrainingJobsRequest(parent=self.project, dataset=dataset),
            trainer_pb2.ListTrainingJobsResponse(),
            "training_jobs",
        )

    def cancel_job(self, name: str) -> trainer_pb2.TrainingJob:
        """Asks a job to stop."""
        request = trainer_pb2.CancelTrainingJobRequest(name=self.job_name(name))
        return self.call(_method(_TRAINER, "CancelTrainingJob"), request, trainer_pb2.TrainingJob())

    def delete_job(self, name: str) -> None:
        """Deletes an ended job; a registered model keeps its files."""
        request = trainer_pb2.DeleteTrainingJobRequest(name=self.job_name(name))
        self._transport.call(call_for(_method(_TRAINER, "DeleteTrainingJob"), _with_request_id(request)))

    def watch_job(self, name: str, cursor: str = "") -> Iterator[trainer_pb2.WatchTrainingJobResponse]:
        """Events, metrics and progress until the job ends; a cut connection is taken up again."""
        request = trainer_pb2.WatchTrainingJobRequest(name=self.job_name(name))
        call = call_for(_method(_TRAINER, "WatchTrainingJob"), request)
        for event in watch.follow(self._transport, call, cursor):
            yield _parse(event.data, trainer_pb2.WatchTrainingJobResponse())

    def list_log_lines(self, job: str) -> Iterator[trainer_pb2.LogLine]:
        """What the job's workers logged, oldest first."""
        return self.pages(
            _method(_TRAINER, "ListLogLines"),
            trainer_pb2.ListLogLinesRequest(parent=self.job_name(job)),
            trainer_pb2.ListLogLinesResponse(),
            "log_lines",
        )

    def list_metrics(self, job: str) -> Iterator[trainer_pb2.MetricPoint]:
        """A job's metric points in order of step."""
        return self.pages(
            _method(_TRAINER, "ListMetrics"),
            trainer_pb2.ListMetricsRequest(parent=self.job_name(job)),
            trainer_pb2.ListMetricsResponse(),
            "points",
        )

    def list_events(self, job: str) -> Iterator[trainer_pb2.Event]:
        """A job's events, oldest first."""
        return self.pages(
            _method(_TRAINER, "ListEvents"),
            trainer_pb2.ListEventsRequest(parent=self.job_name(job)),
            trainer_pb2.ListEventsResponse(),
            "events",
        )

    def list_samples(self, job: str) -> Iterator[trainer_pb2.Sample]:
        """Predictions of the same held-out examples before and after training."""
        return self.pages(
            _method(_TRAINER, "ListSamples"),
            trainer_pb2.ListSamplesRequest(parent=self.job_name(job)),
            trainer_pb2.ListSamplesResponse(),
            "samples",
        )

    def list_artifacts(self, job: str) -> Iterator[trainer_pb2.Artifact]:
        """A job's artifacts with signed URLs."""
        return self.pages(
            _method(_TRAINER, "ListArtifacts"),
            trainer_pb2.ListArtifactsRequest(parent=self.job_name(job)),
            trainer_pb2.ListArtifactsResponse(),
            "artifacts",
        )

    # Models

    def accelerator_usage(self, job: str = "") -> trainer_pb2.GetAcceleratorUsageResponse:
        """Accelerator hours of the project, or of one job."""
        request = trainer_pb2.GetAcceleratorUsageRequest(
            parent=self.project, training_job=self.job_name(job) if job else ""
        )
        answer = trainer_pb2.GetAcceleratorUsageResponse()
        return self.call(_method(_TRAINER, "GetAcceleratorUsage"), request, answer)

    def list_accelerators(self) -> Iterator[trainer_pb2.Accelerator]:
        """Kinds of accelerators that a job may ask for; none on a single machine."""
        return self.pages(
            _method(_TRAINER, "ListAccelerators"),
            trainer_pb2.ListAcceleratorsRequest(parent=self.project),
            trainer_pb2.ListAcceleratorsResponse(),
            "accelerators",
        )

    def list_models(self) -> Iterator[trainer_pb2.Model]:
        """What a job can start from: presets first, then the project's models."""
        return self.pages(
            _method(_TRAINER, "ListModels"),
            trainer_pb2.ListModelsRequest(parent=self.project),
            trainer_pb2.ListModelsResponse(),
            "models",
        )

    def register_model(self, model_id: str, job: str, *, description: str = "") -> trainer_pb2.Model:
        """Gives the result of a job a name from which later jobs can start."""
        model = trainer_pb2.Model(training_job=self.job_name(job), description=description)
        request = trainer_pb2.RegisterModelRequest(parent=self.project, model_id=model_id, model=model)
        return self.call(_method(_TRAINER, "RegisterModel"), request, trainer_pb2.Model())

    def list_model_families(self) -> list[trainer_pb2.ModelFamily]:
        """Families of models that can be trained."""
        answer = self.call(
            _method(_TRAINER, "ListModelFamilies"),
            trainer_pb2.ListModelFamiliesRequest(),
            trainer_pb2.ListModelFamiliesResponse(),
        )
        return list(answer.families)

    # Operations

    def get_operation(self, name: str) -> operations_pb2.Operation:
        """One operation."""
        request = operations_pb2.GetOperationRequest(name=name)
        return self.call(_method(_OPERATIONS, "GetOperation"), request, operations_pb2.Operation())

    def wait(
        self,
        operation: operations_pb2.Operation | str,
        *,
        timeout_s: float | None = None,
        progress: Callable[[operations_pb2.Operation], None] = lambda _operation: None,
    ) -> operations_pb2.Operation:
        """The ended operation, by itself or its name. Raises the ApiFailure it ended with, or WaitTimeout."""
        if isinstance(operation, str):
            operation = self.get_operation(operation)
        for waited_s in watch.intervals():
            progress(operation)
            if operation.done:
                break
            if timeout_s is not None and waited_s > timeout_s:
                raise errors.WaitTimeout(f"{operation.name} did not end in {timeout_s:.0f} s. It goes on.")
            operation = self.get_operation(operation.name)
        if operation.HasField("error"):
            raise errors.from_status(MessageToDict(operation.error))
        return operation

    # Names

    def dataset_name(self, name: str) -> str:
        """`projects/…/datasets/…` of a short or a full name."""
        return names.full(name, self.project, "datasets")

    def job_name(self, name: str) -> str:
        """`projects/…/trainingJobs/…` of a short or a full name."""
        return names.full(name, self.project, "trainingJobs")

    def version_name(self, name: str) -> str:
        """`projects/…/versions/…` of `digits/v1` or a full name; `digits` means its newest version."""
        if "/versions/" in name or (not name.startswith("projects/") and "/" in name):
            return names.version(name, self.project)
        dataset = self.get_dataset(name)
        if not dataset.latest_version:
            raise errors.FailedPrecondition(
                f"{names.short(dataset.name)} has no version yet. Import one: "
                f"visiontune dataset import ARCHIVE --dataset {names.short(dataset.name)}"
            )
        return dataset.latest_version


def _method(service: ServiceDescriptor, name: str) -> MethodDescriptor:
    return service.methods_by_name[name]


def _with_request_id(request: Message) -> Message:
    """A request that may be repeated: the id is the same in each attempt."""
    fields: Any = request
    if "request_id" in request.DESCRIPTOR.fields_by_name and not fields.request_id:
        fields.request_id = str(uuid.uuid4())
    return cast("Message", fields)


def _parse(text: str, message: M) -> M:
    return Parse(text, message, ignore_unknown_fields=True)
