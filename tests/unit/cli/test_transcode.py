import pytest
from google.api import httpbody_pb2
from google.longrunning import operations_pb2
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from visiontune.dataset.v1 import dataset_pb2
from visiontune.storage.v1 import storage_pb2
from visiontune.trainer.v1 import trainer_pb2
from visiontune.transcode import HttpCall, call_for, rule_of
from visiontune.worker.v1 import worker_pb2

DATASETS = dataset_pb2.DESCRIPTOR.services_by_name["DatasetService"]
STORAGE = storage_pb2.DESCRIPTOR.services_by_name["StorageService"]
TRAINER = trainer_pb2.DESCRIPTOR.services_by_name["TrainerService"]
OPERATIONS = operations_pb2.DESCRIPTOR.services_by_name["Operations"]

JOB = trainer_pb2.TrainingJob(
    spec=trainer_pb2.TrainingJobSpec(dataset_version="projects/p/datasets/d/versions/v1")
)
CASES: list[tuple[ServiceDescriptor, str, Message, HttpCall]] = [
    (
        STORAGE,
        "UploadBytes",
        storage_pb2.UploadBytesRequest(
            parent="projects/p", filename="a b", body=httpbody_pb2.HttpBody(content_type="a/b", data=b"1")
        ),
        HttpCall("POST", "/v1/projects/p/uploads:bytes", (("filename", "a b"),), None, b"1", "a/b"),
    ),
    (
        DATASETS,
        "GetDataset",
        dataset_pb2.GetDatasetRequest(name="projects/p/datasets/d"),
        HttpCall("GET", "/v1/projects/p/datasets/d", (), None),
    ),
    (
        DATASETS,
        "ListExamples",
        dataset_pb2.ListExamplesRequest(
            parent="projects/p/datasets/d/versions/v1", page_size=5, page_token="a b", split="validation"
        ),
        HttpCall(
            "GET",
            "/v1/projects/p/datasets/d/versions/v1/examples",
            (("page_size", "5"), ("page_token", "a b"), ("split", "validation")),
            None,
        ),
    ),
    (
        DATASETS,
        "DeleteDataset",
        dataset_pb2.DeleteDatasetRequest(name="projects/p/datasets/d", force=True, request_id="r"),
        HttpCall("DELETE", "/v1/projects/p/datasets/d", (("force", "true"), ("request_id", "r")), None),
    ),
    (
        DATASETS,
        "ImportVersion",
        dataset_pb2.ImportVersionRequest(
            parent="projects/p/datasets/d",
            upload="projects/p/uploads/u",
            on_error=dataset_pb2.ON_ERROR_SKIP,
            validation_fraction=0.0,
        ),
        HttpCall(
            "POST",
            "/v1/projects/p/datasets/d/versions:import",
            (),
            {"upload": "projects/p/uploads/u", "on_error": "ON_ERROR_SKIP", "validation_fraction": 0.0},
        ),
    ),
    (
        TRAINER,
        "CreateTrainingJob",
        trainer_pb2.CreateTrainingJobRequest(parent="projects/p", training_job_id="j", training_job=JOB),
        HttpCall(
            "POST",
            "/v1/projects/p/trainingJobs",
            (("training_job_id", "j"),),
            {"spec": {"dataset_version": "projects/p/datasets/d/versions/v1"}},
        ),
    ),
    (
        STORAGE,
        "UpdateQuota",
        storage_pb2.UpdateQuotaRequest(quota=storage_pb2.Quota(name="projects/p/quota", limit_bytes=2**40)),
        HttpCall("PATCH", "/v1/projects/p/quota", (), {"limit_bytes": str(2**40)}),
    ),
    (
        OPERATIONS,
        "CancelOperation",
        operations_pb2.CancelOperationRequest(name="projects/p/datasets/d/operations/o"),
        HttpCall("POST", "/v1/projects/p/datasets/d/operations/o:cancel", (), {}),
    ),
]


@pytest.mark.parametrize(
    ("service", "method", "request_", "expected"), CASES, ids=[case[1] for case in CASES]
)
def test_a_request_becomes_the_http_call_of_its_annotation(
    service: ServiceDescriptor, method: str, request_: Message, expected: HttpCall
) -> None:
    assert call_for(service.methods_by_name[method], request_) == expected


def test_every_public_method_has_an_http_form() -> None:
    for service in (DATASETS, STORAGE, TRAINER):
        for method in service.methods:
            assert rule_of(method).template.startswith("/v1/")


def test_a_method_for_workers_alone_has_none() -> None:
    service = worker_pb2.DESCRIPTOR.services_by_name["WorkerService"]
    with pytest.raises(ValueError, match="cannot be called over HTTP"):
        rule_of(service.methods_by_name["ClaimAttempt"])


def test_a_name_that_is_missing_is_said_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="name is required"):
        call_for(DATASETS.methods_by_name["GetDataset"], dataset_pb2.GetDatasetRequest())


def test_what_could_change_the_path_is_escaped() -> None:
    request = dataset_pb2.GetDatasetRequest(name="projects/p/datasets/a?b#c%2F")
    assert (
        call_for(DATASETS.methods_by_name["GetDataset"], request).path
        == "/v1/projects/p/datasets/a%3Fb%23c%252F"
    )
