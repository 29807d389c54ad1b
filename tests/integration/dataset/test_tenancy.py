"""Another project finds nothing, by no method; and each method wants its role."""

from collections.abc import Callable
from typing import Any

import pytest
from google.longrunning import operations_pb2 as lro
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune.trainer.v1.augmentation_pb2 import Augmentation
from visiontune_dataset import rpc
from visiontune_kit import channels, errors
from visiontune_kit.identity import Role

from tests.support import archives
from tests.support.dataset import DatasetHandle

DATASET = "projects/default/datasets/d"
VERSION = f"{DATASET}/versions/v1"
EXAMPLE = f"{VERSION}/examples/0"

# By method: its request, given the name of an operation and of a draft.
REQUESTS: dict[str, Callable[[str, str], Any]] = {
    "CreateDataset": lambda _o, _d: pb.CreateDatasetRequest(parent="projects/default", dataset_id="mine"),
    "GetDataset": lambda _o, _d: pb.GetDatasetRequest(name=DATASET),
    "ListDatasets": lambda _o, _d: pb.ListDatasetsRequest(parent="projects/default"),
    "UpdateDataset": lambda _o, _d: pb.UpdateDatasetRequest(
        dataset=pb.Dataset(name=DATASET, description="x")
    ),
    "ImportVersion": lambda _o, _d: pb.ImportVersionRequest(
        parent=DATASET, upload="projects/default/uploads/u", format="llava"
    ),
    "GetVersion": lambda _o, _d: pb.GetVersionRequest(name=VERSION),
    "ListVersions": lambda _o, _d: pb.ListVersionsRequest(parent=DATASET),
    "ListExamples": lambda _o, _d: pb.ListExamplesRequest(parent=VERSION),
    "GetExample": lambda _o, _d: pb.GetExampleRequest(name=EXAMPLE),
    "GetExampleImage": lambda _o, _d: pb.GetExampleImageRequest(name=EXAMPLE),
    "GetThumbnails": lambda _o, _d: pb.GetThumbnailsRequest(parent=VERSION),
    "SignImageLinks": lambda _o, _d: pb.SignImageLinksRequest(parent=VERSION, rows=[0]),
    "GetStatistics": lambda _o, _d: pb.GetStatisticsRequest(name=f"{VERSION}/statistics"),
    "GetValidationReport": lambda operation, _d: pb.GetValidationReportRequest(
        name=operation.replace("/operations/", "/validationReports/")
    ),
    "ListProblems": lambda operation, _d: pb.ListProblemsRequest(
        parent=operation.replace("/operations/", "/validationReports/")
    ),
    "PreviewAugmentation": lambda _o, _d: pb.PreviewAugmentationRequest(
        parent=VERSION, augmentation=Augmentation(preset=Augmentation.PRESET_LIGHT)
    ),
    "GetReadManifest": lambda _o, _d: pb.GetReadManifestRequest(name=VERSION),
    "CompareVersions": lambda _o, _d: pb.CompareVersionsRequest(name=VERSION),
    "ExportVersion": lambda _o, _d: pb.ExportVersionRequest(name=VERSION),
    "GetExport": lambda _o, _d: pb.GetExportRequest(name=f"{DATASET}/exports/export-1"),
    "CreateDraft": lambda _o, _d: pb.CreateDraftRequest(parent=DATASET),
    "GetDraft": lambda _o, draft: pb.GetDraftRequest(name=draft),
    "ListDrafts": lambda _o, _d: pb.ListDraftsRequest(parent=DATASET),
    "EditExamples": lambda _o, draft: pb.EditExamplesRequest(
        name=draft, edits=[pb.Edit(example_id="x", split="test")]
    ),
    "ListEdits": lambda _o, draft: pb.ListEditsRequest(parent=draft),
    "RevertEdits": lambda _o, draft: pb.RevertEditsRequest(name=draft),
    "RebaseDraft": lambda _o, draft: pb.RebaseDraftRequest(name=draft),
    "CommitVersion": lambda _o, draft: pb.CommitVersionRequest(name=draft),
    "DeleteDraft": lambda _o, draft: pb.DeleteDraftRequest(name=draft),
    "GetOperation": lambda operation, _d: lro.GetOperationRequest(name=operation),
    "ListOperations": lambda _o, _d: lro.ListOperationsRequest(name=DATASET),
    "WaitOperation": lambda operation, _d: lro.WaitOperationRequest(name=operation),
    "CancelOperation": lambda operation, _d: lro.CancelOperationRequest(name=operation),
    "DeleteOperation": lambda operation, _d: lro.DeleteOperationRequest(name=operation),
    "DeleteVersion": lambda _o, _d: pb.DeleteVersionRequest(name=VERSION),
    "UndeleteVersion": lambda _o, _d: pb.UndeleteVersionRequest(name=VERSION),
    "UndeleteDataset": lambda _o, _d: pb.UndeleteDatasetRequest(name=DATASET),
    "DeleteDataset": lambda _o, _d: pb.DeleteDatasetRequest(name=DATASET, force=True),
}
ROLES = {name.rpartition("/")[2]: role for name, role in rpc.ACCESS.items()}


def test_every_method_of_the_contract_has_a_role_and_a_case_here() -> None:
    methods = {each.name for each in pb.DESCRIPTOR.services_by_name["DatasetService"].methods}
    assert methods <= ROLES.keys()
    assert methods - {name.rpartition("/")[2] for name in rpc.UNSCOPED} <= REQUESTS.keys()


async def test_every_method_is_for_one_project_and_one_role(service: DatasetHandle) -> None:
    assert REQUESTS.keys() == ROLES.keys() - {name.rpartition("/")[2] for name in rpc.UNSCOPED}
    operation = await service.start(await service.create(), archives.captions(2))
    assert (await service.ended(operation)).HasField("response")
    draft = await service.call("CreateDraft", pb.CreateDraftRequest(parent=DATASET))
    for method, make in REQUESTS.items():
        request = make(operation.name, draft.name)
        stub: Any = service.operations if hasattr(service.operations, method) else service.stub
        call = getattr(stub, method)
        with pytest.raises(errors.NotFound):
            await call(request, metadata=service.storage.metadata("other", Role.OPERATOR))
        with pytest.raises(channels.ServiceIdentityRefused):  # what a service's own channel makes of it
            await call(request)
        if ROLES[method] > Role.VIEWER:
            with pytest.raises(errors.PermissionDenied):
                await call(request, metadata=service.storage.metadata(role=Role.VIEWER))
    # Names of one project with parents of another do not mix either.
    await service.create("o", project="other")
    foreign = await service.storage.upload(b"theirs", filename="a.tar")
    with pytest.raises(errors.NotFound):
        await service.call(
            "ImportVersion",
            pb.ImportVersionRequest(parent="projects/other/datasets/o", upload=foreign.name),
            project="other",
        )


async def test_formats_are_for_everyone(service: DatasetHandle) -> None:
    answer = await service.call("ListFormats", pb.ListFormatsRequest(), project="other", role=Role.VIEWER)
    names = [each.format for each in answer.formats]
    assert names == sorted(names)
    assert {"llava", "image-caption"} <= set(names)
    assert all(each.layout and each.example_record and each.description for each in answer.formats)
