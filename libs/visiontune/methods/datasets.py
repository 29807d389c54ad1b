"""Datasets, their versions and examples."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from google.longrunning import operations_pb2

from visiontune import errors, names
from visiontune.dataset.v1 import dataset_pb2
from visiontune.methods.calling import Calls, rpc, with_request_id
from visiontune.trainer.v1 import augmentation_pb2
from visiontune.transcode import call_for

_DATASETS = dataset_pb2.DESCRIPTOR.services_by_name["DatasetService"]

# The first preview loads torch.
_PREVIEW_TIMEOUT_S = 120.0


class Datasets(Calls):
    """Datasets, their versions and examples."""

    def create_dataset(
        self, dataset_id: str, *, display_name: str = "", description: str = ""
    ) -> dataset_pb2.Dataset:
        """Makes an empty dataset. Raises AlreadyExists."""
        request = dataset_pb2.CreateDatasetRequest(
            parent=self.project,
            dataset_id=dataset_id,
            dataset=dataset_pb2.Dataset(display_name=display_name, description=description),
        )
        return self.call(rpc(_DATASETS, "CreateDataset"), request, dataset_pb2.Dataset())

    def get_dataset(self, name: str) -> dataset_pb2.Dataset:
        """One dataset."""
        request = dataset_pb2.GetDatasetRequest(name=self.dataset_name(name))
        return self.call(rpc(_DATASETS, "GetDataset"), request, dataset_pb2.Dataset())

    def list_datasets(self, *, deleted: bool = False) -> Iterator[dataset_pb2.Dataset]:
        """All datasets, newest first; or the deleted ones that can be brought back."""
        return self.pages(
            rpc(_DATASETS, "ListDatasets"),
            dataset_pb2.ListDatasetsRequest(parent=self.project, only_deleted=deleted),
            dataset_pb2.ListDatasetsResponse(),
            "datasets",
        )

    def delete_dataset(self, name: str, *, force: bool = False, purge: bool = False) -> None:
        """Deletes a dataset; with `force` also its versions, with `purge` without a way back."""
        request = dataset_pb2.DeleteDatasetRequest(name=self.dataset_name(name), force=force, purge=purge)
        self._transport.call(call_for(rpc(_DATASETS, "DeleteDataset"), with_request_id(request)))

    def undelete_dataset(self, name: str) -> dataset_pb2.Dataset:
        """Brings a deleted dataset back."""
        request = dataset_pb2.UndeleteDatasetRequest(name=self.dataset_name(name))
        return self.call(rpc(_DATASETS, "UndeleteDataset"), request, dataset_pb2.Dataset())

    def import_version(self, request: dataset_pb2.ImportVersionRequest) -> operations_pb2.Operation:
        """Starts the import of an upload; `wait` for the operation."""
        return self.call(rpc(_DATASETS, "ImportVersion"), request, operations_pb2.Operation())

    def get_version(self, name: str) -> dataset_pb2.DatasetVersion:
        """One version; `DATASET` alone means its newest. Raises FailedPrecondition when it has none."""
        request = dataset_pb2.GetVersionRequest(name=self.version_name(name))
        return self.call(rpc(_DATASETS, "GetVersion"), request, dataset_pb2.DatasetVersion())

    def list_versions(self, dataset: str, *, deleted: bool = False) -> Iterator[dataset_pb2.DatasetVersion]:
        """A dataset's versions, newest first; or the deleted ones that can be brought back."""
        return self.pages(
            rpc(_DATASETS, "ListVersions"),
            dataset_pb2.ListVersionsRequest(parent=self.dataset_name(dataset), only_deleted=deleted),
            dataset_pb2.ListVersionsResponse(),
            "versions",
        )

    def list_examples(
        self,
        version: str,
        *,
        split: str = "",
        filter_: str = "",
        query: str = "",
        order_by: str = "",
        page_size: int = 200,
    ) -> Iterator[dataset_pb2.Example]:
        """A version's examples in row order, or as `order_by` says; docs/filters.md tells of `filter_`."""
        return self.pages(
            rpc(_DATASETS, "ListExamples"),
            dataset_pb2.ListExamplesRequest(
                parent=self.version_name(version),
                split=split,
                filter=filter_,
                query=query,
                order_by=order_by,
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
                rpc(_DATASETS, "CompareVersions"), request, dataset_pb2.CompareVersionsResponse()
            )
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def get_example_image(self, example: str, index: int = 0) -> bytes:
        """The original bytes of one image."""
        request = dataset_pb2.GetExampleImageRequest(name=example, index=index)
        return self._transport.call(call_for(rpc(_DATASETS, "GetExampleImage"), request)).content

    def sign_image_links(
        self, version: str, rows: Sequence[int], ttl: timedelta = timedelta(hours=1)
    ) -> dataset_pb2.SignImageLinksResponse:
        """Links to the pictures of at most 200 examples, which open without an API key until they end."""
        request = dataset_pb2.SignImageLinksRequest(parent=self.version_name(version), rows=rows)
        request.ttl.FromTimedelta(ttl)
        return self.call(rpc(_DATASETS, "SignImageLinks"), request, dataset_pb2.SignImageLinksResponse())

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
            rpc(_DATASETS, "PreviewAugmentation"),
            request,
            dataset_pb2.PreviewAugmentationResponse(),
            timeout_s=_PREVIEW_TIMEOUT_S,
        )

    def get_statistics(self, version: str) -> dataset_pb2.Statistics:
        """Numbers about a version."""
        request = dataset_pb2.GetStatisticsRequest(name=f"{self.version_name(version)}/statistics")
        return self.call(rpc(_DATASETS, "GetStatistics"), request, dataset_pb2.Statistics())

    def get_validation_report(self, name: str) -> dataset_pb2.ValidationReport:
        """What an import found."""
        request = dataset_pb2.GetValidationReportRequest(name=name)
        return self.call(rpc(_DATASETS, "GetValidationReport"), request, dataset_pb2.ValidationReport())

    def list_problems(self, report: str) -> Iterator[dataset_pb2.Problem]:
        """Everything that an import found, in order; a report itself has the first places of each rule."""
        return self.pages(
            rpc(_DATASETS, "ListProblems"),
            dataset_pb2.ListProblemsRequest(parent=report),
            dataset_pb2.ListProblemsResponse(),
            "problems",
        )

    def delete_version(self, name: str, *, force: bool = False, purge: bool = False) -> None:
        """Deletes `digits/v1`; with `force` also while it is in use, with `purge` without a way back."""
        request = dataset_pb2.DeleteVersionRequest(name=self.version_name(name), force=force, purge=purge)
        self._transport.call(call_for(rpc(_DATASETS, "DeleteVersion"), with_request_id(request)))

    def undelete_version(self, name: str) -> dataset_pb2.DatasetVersion:
        """Brings a deleted version, `digits/v1`, back."""
        request = dataset_pb2.UndeleteVersionRequest(name=self.version_name(name))
        return self.call(rpc(_DATASETS, "UndeleteVersion"), request, dataset_pb2.DatasetVersion())

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
        return self.call(rpc(_DATASETS, "ExportVersion"), request, operations_pb2.Operation())

    def get_export(self, name: str) -> dataset_pb2.Export:
        """One export, by its full name, with a fresh URL."""
        request = dataset_pb2.GetExportRequest(name=name)
        return self.call(rpc(_DATASETS, "GetExport"), request, dataset_pb2.Export())

    def dataset_name(self, name: str) -> str:
        """`projects/…/datasets/…` of a short or a full name."""
        return names.full(name, self.project, "datasets")

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

    def list_formats(self) -> list[dataset_pb2.Format]:
        """The formats that archives may have."""
        answer = self.call(
            rpc(_DATASETS, "ListFormats"),
            dataset_pb2.ListFormatsRequest(),
            dataset_pb2.ListFormatsResponse(),
        )
        return list(answer.formats)

    def get_template(self, format_name: str) -> bytes:
        """A small dataset of a format to start from, as a zip."""
        request = dataset_pb2.GetTemplateRequest(format=format_name)
        return self._transport.call(call_for(rpc(_DATASETS, "GetTemplate"), request)).content
