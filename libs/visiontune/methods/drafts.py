"""Drafts: edits that become a version."""

from collections.abc import Iterable, Iterator

from google.longrunning import operations_pb2

from visiontune.dataset.v1 import dataset_pb2
from visiontune.methods.calling import rpc, with_request_id
from visiontune.methods.datasets import Datasets
from visiontune.transcode import call_for

_DATASETS = dataset_pb2.DESCRIPTOR.services_by_name["DatasetService"]


class Drafts(Datasets):
    """Edits that become a version."""

    def create_draft(self, dataset: str, base_version: str = "") -> dataset_pb2.Draft:
        """Begins to edit a version, of a dataset the newest."""
        draft = dataset_pb2.Draft(base_version=self.version_name(base_version) if base_version else "")
        request = dataset_pb2.CreateDraftRequest(parent=self.dataset_name(dataset), draft=draft)
        return self.call(rpc(_DATASETS, "CreateDraft"), request, dataset_pb2.Draft())

    def get_draft(self, name: str) -> dataset_pb2.Draft:
        """One draft, by its full name."""
        request = dataset_pb2.GetDraftRequest(name=name)
        return self.call(rpc(_DATASETS, "GetDraft"), request, dataset_pb2.Draft())

    def list_drafts(self, dataset: str) -> Iterator[dataset_pb2.Draft]:
        """A dataset's drafts, newest first."""
        return self.pages(
            rpc(_DATASETS, "ListDrafts"),
            dataset_pb2.ListDraftsRequest(parent=self.dataset_name(dataset)),
            dataset_pb2.ListDraftsResponse(),
            "drafts",
        )

    def delete_draft(self, name: str) -> None:
        """Gives a draft up."""
        request = dataset_pb2.DeleteDraftRequest(name=name)
        self._transport.call(call_for(rpc(_DATASETS, "DeleteDraft"), with_request_id(request)))

    def edit_examples(
        self, draft: str, edits: Iterable[dataset_pb2.Edit], etag: str = ""
    ) -> dataset_pb2.EditExamplesResponse:
        """Adds up to 500 edits to a draft, all or none. Raises InvalidArgument with a violation an error."""
        request = dataset_pb2.EditExamplesRequest(name=draft, etag=etag, edits=edits)
        return self.call(rpc(_DATASETS, "EditExamples"), request, dataset_pb2.EditExamplesResponse())

    def list_edits(self, draft: str) -> Iterator[dataset_pb2.Edit]:
        """A draft's edits in order."""
        return self.pages(
            rpc(_DATASETS, "ListEdits"),
            dataset_pb2.ListEditsRequest(parent=draft),
            dataset_pb2.ListEditsResponse(),
            "edits",
        )

    def revert_edits(self, draft: str, numbers: Iterable[int] = (), etag: str = "") -> dataset_pb2.Draft:
        """Takes edits out of a draft; none given means all."""
        request = dataset_pb2.RevertEditsRequest(name=draft, numbers=numbers, etag=etag)
        return self.call(rpc(_DATASETS, "RevertEdits"), request, dataset_pb2.Draft())

    def rebase_draft(self, draft: str, etag: str = "") -> dataset_pb2.Draft:
        """Moves a draft to the newest version. Raises Aborted where that changed what the draft edits."""
        request = dataset_pb2.RebaseDraftRequest(name=draft, etag=etag)
        return self.call(rpc(_DATASETS, "RebaseDraft"), request, dataset_pb2.Draft())

    def commit_version(self, draft: str, etag: str = "") -> operations_pb2.Operation:
        """Starts to make a version of a draft; `wait` for the operation."""
        request = dataset_pb2.CommitVersionRequest(name=draft, etag=etag)
        return self.call(rpc(_DATASETS, "CommitVersion"), request, operations_pb2.Operation())
