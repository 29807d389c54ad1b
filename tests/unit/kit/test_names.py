"""Which project a request is about."""

import pytest
from google.protobuf.message import Message
from visiontune.dataset.v1 import dataset_pb2
from visiontune.storage.v1 import storage_pb2
from visiontune.trainer.v1 import trainer_pb2
from visiontune.worker.v1 import worker_pb2
from visiontune_kit import names

SPEC = trainer_pb2.TrainingJobSpec(
    dataset_version="projects/b/datasets/d/versions/v1",
    base_model=trainer_pb2.BaseModel(model="projects/c/models/m"),
)


@pytest.mark.parametrize(
    ("request_", "projects"),
    [
        (storage_pb2.GetUploadRequest(name="projects/a/uploads/u"), ["a"]),
        (storage_pb2.SignUrlsRequest(parent="projects/a", objects=["projects/b/objects/o"]), ["a", "b"]),
        (dataset_pb2.UpdateDatasetRequest(dataset=dataset_pb2.Dataset(name="projects/a/datasets/d")), ["a"]),
        (
            dataset_pb2.ImportVersionRequest(parent="projects/a/datasets/d", upload="projects/b/uploads/u"),
            ["a", "b"],
        ),
        (
            trainer_pb2.CreateTrainingJobRequest(
                parent="projects/a", training_job=trainer_pb2.TrainingJob(spec=SPEC)
            ),
            ["a", "b", "c"],
        ),
        (worker_pb2.RenewReadManifestRequest(attempt="projects/a/trainingJobs/j/attempts/1"), ["a"]),
        (dataset_pb2.ListFormatsRequest(), []),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Message) else "",
)
def test_every_name_of_a_request_is_seen(request_: Message, projects: list[str]) -> None:
    assert list(names.projects_of(request_)) == projects


def test_text_that_looks_like_a_name_is_not_one() -> None:
    dataset = dataset_pb2.Dataset(display_name="projects/other")
    request = dataset_pb2.CreateDatasetRequest(parent="projects/a", dataset=dataset)
    assert list(names.projects_of(request)) == ["a"]
