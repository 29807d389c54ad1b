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

REQUESTS: dict[str, Callable[[str], Any]] = {
    "CreateDataset": lambda _: pb.CreateDatasetRequest(parent="projects/default", dataset_id="mine"),
    "GetDataset": lambda _: pb.GetDatasetRequest(name=DATASET),
    "ListDatasets": lambda _: pb.ListDatasetsRequest(parent="projects/default"),
    "UpdateDataset": lambda _: pb.UpdateDatasetRequest(dataset=pb.Dataset(name=DATASET, description="x")),
    "ImportVersion": lambda _: pb.ImportVersionRequest(
        parent=DATASET, upload="projects/default/uploads/u", format="llava"
    ),
    "GetVersion": lambda _: pb.GetVersionRequest(name=VERSION),
    "ListVersions": lambda _: pb.ListVersionsRequest(parent=DATASET),
    "ListExamples": lambda _: pb.ListExamplesRequest(parent=VERSION),
    "GetExample": lambda _: pb.GetExampleRequest(name=EXAMPLE),
    "GetExampleImage": lambda _: pb.GetExampleImageRequest(name=EXAMPLE),
    "GetThumbnails": lambda _: pb.GetThumbnailsRequest(parent=VERSION),
    "GetStatistics": lambda _: pb.GetStatisticsRequest(name=f"{VERSION}/statistics"),
    "GetValidationReport": lambda operation: pb.GetValidationReportRequest(
        name=operation.replace("/operations/", "/validationReports/")
    ),
    "PreviewAugmentation": lambda _: pb.PreviewAugmentationRequest(
        parent=VERSION, augmentation=Augmentation(preset=Augmentation.PRESET_LIGHT)
    ),
    "GetReadManifest": lambda _: pb.GetReadManifestRequest(name=VERSION),
    "GetOperation": lambda operation: lro.GetOperationRequest(name=operation),
    "ListOperations": lambda _: lro.ListOperationsRequest(name=DATASET),
    "WaitOperation": lambda operation: lro.WaitOperationRequest(name=operation),
    "CancelOperation": lambda operation: lro.CancelOperationRequest(name=operation),
    "DeleteOperation": lambda operation: lro.DeleteOperationRequest(name=operation),
    "DeleteDataset": lambda _: pb.DeleteDatasetRequest(name=DATASET, force=True),
}
ROLES = {name.rpartition("/")[2]: role for name, role in rpc.ACCESS.items()}


async def test_every_method_is_for_one_project_and_one_role(service: DatasetHandle) -> None:
    assert REQUESTS.keys() == ROLES.keys() - {"ListFormats"}
    operation = await service.start(await service.create(), archives.captions(2))
    assert (await service.ended(operation)).HasField("response")
    for method, request in REQUESTS.items():
        stub: Any = service.operations if hasattr(service.operations, method) else service.stub
        call = getattr(stub, method)
        with pytest.raises(errors.NotFound):
            await call(request(operation.name), metadata=service.storage.metadata("other", Role.OPERATOR))
        with pytest.raises(channels.ServiceIdentityRefused):  # what a service's own channel makes of it
            await call(request(operation.name))
        if ROLES[method] > Role.VIEWER:
            with pytest.raises(errors.PermissionDenied):
                await call(request(operation.name), metadata=service.storage.metadata(role=Role.VIEWER))
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
