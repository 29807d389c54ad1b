"""No method of any service goes without a stranger who tries it: the contracts say which there are."""

import importlib
import pkgutil
from collections.abc import Set

import pytest
import visiontune
from google.protobuf.descriptor import ServiceDescriptor

from tests.contract.storage import test_tenancy as storage
from tests.integration.dataset import test_tenancy as dataset
from tests.integration.gateway import test_tenancy as identity
from tests.integration.trainer import test_tenancy as trainer
from tests.integration.trainer import test_workers as worker

# By service: what a stranger tries, and what is about no project.
TRIED: dict[str, tuple[Set[str], Set[str]]] = {
    "dataset.v1.DatasetService": (dataset.REQUESTS.keys(), {"ListFormats", "GetTemplate", "GetLinkedImage"}),
    "identity.v1.IdentityService": (identity.REQUESTS.keys(), identity.ABOUT_NOBODY_ELSE),
    "storage.v1.StorageService": (storage.REQUESTS.keys(), {"GetEgress"}),  # for operators
    "trainer.v1.TrainerService": (trainer.REQUESTS.keys(), {"ListModelFamilies"}),
    "worker.v1.WorkerService": (worker.OF_AN_ATTEMPT.keys(), set()),
    # Stands beside the dataset service, which alone reaches it: it gets a picture and answers with one.
    "worker.v1.AugmentationPreviewService": (set(), {"PreviewPicture"}),
    # The same beside the trainer: it gets signed URLs and answers with what it read.
    "worker.v1.ExamplePreviewService": (set(), {"PreviewExamples"}),
}


def services() -> dict[str, ServiceDescriptor]:
    """Every service of our contracts, by its name below `visiontune.`."""
    modules = [each.name for each in pkgutil.walk_packages(visiontune.__path__, "visiontune.")]
    contracts = [importlib.import_module(name) for name in modules if name.endswith("_pb2")]
    found = [each for one in contracts for each in one.DESCRIPTOR.services_by_name.values()]
    return {each.full_name.removeprefix("visiontune."): each for each in found}


def test_no_service_is_forgotten() -> None:
    assert services().keys() == TRIED.keys()


@pytest.mark.parametrize("name", TRIED)
def test_no_method_is_forgotten(name: str) -> None:
    tried, about_no_project = TRIED[name]
    assert {method.name for method in services()[name].methods} - about_no_project <= tried
    assert not tried & about_no_project
