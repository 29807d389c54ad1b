"""Another project finds nothing, by no method; and each method wants its role."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune_kit import channels, errors, status
from visiontune_kit.identity import Role
from visiontune_trainer import rpc

from tests.support.s3 import SeaweedFS
from tests.support.trainer import PARENT, TrainerHandle, create_request, running_trainer

JOB = f"{PARENT}/trainingJobs/digits"
MODEL = f"{PARENT}/models/better"

REQUESTS: dict[str, Any] = {
    "ValidateTrainingJob": pb.ValidateTrainingJobRequest(
        parent=PARENT, training_job=create_request().training_job
    ),
    "PreviewTrainingExamples": pb.PreviewTrainingExamplesRequest(
        parent=PARENT, training_job=create_request().training_job
    ),
    "CreateTrainingJob": create_request("mine"),
    "GetTrainingJob": pb.GetTrainingJobRequest(name=JOB),
    "ListTrainingJobs": pb.ListTrainingJobsRequest(parent=PARENT),
    "CancelTrainingJob": pb.CancelTrainingJobRequest(name=JOB),
    "PauseTrainingJob": pb.PauseTrainingJobRequest(name=JOB),
    "ResumeTrainingJob": pb.ResumeTrainingJobRequest(name=JOB),
    "DeleteTrainingJob": pb.DeleteTrainingJobRequest(name=JOB),
    "WatchTrainingJob": pb.WatchTrainingJobRequest(name=JOB),
    "ListEvents": pb.ListEventsRequest(parent=JOB),
    "ListMetrics": pb.ListMetricsRequest(parent=JOB),
    "ListLogLines": pb.ListLogLinesRequest(parent=JOB),
    "ListAttemptLogs": pb.ListAttemptLogsRequest(parent=JOB),
    "ListCheckpoints": pb.ListCheckpointsRequest(parent=JOB),
    "ListSamples": pb.ListSamplesRequest(parent=JOB),
    "ListArtifacts": pb.ListArtifactsRequest(parent=JOB),
    "ListModels": pb.ListModelsRequest(parent=PARENT),
    "GetAcceleratorUsage": pb.GetAcceleratorUsageRequest(parent=PARENT),
    "ListAccelerators": pb.ListAcceleratorsRequest(parent=PARENT),
    "GetModel": pb.GetModelRequest(name=MODEL),
    "ListModelFiles": pb.ListModelFilesRequest(parent=MODEL),
    "DeleteModel": pb.DeleteModelRequest(name=MODEL),
    "RegisterModel": pb.RegisterModelRequest(
        parent=PARENT, model_id="mine", model=pb.Model(training_job=JOB)
    ),
}
ROLES = {name.rpartition("/")[2]: role for name, role in rpc.ACCESS.items()}


@pytest.fixture
async def trainer(s3: SeaweedFS, tmp_path: Path) -> AsyncIterator[TrainerHandle]:
    async with running_trainer(s3, tmp_path) as handle:
        worker = await handle.claimed(await handle.create())
        await worker.checkpoint(10)
        await worker.succeed()
        model = pb.Model(training_job=JOB)
        await handle.call(
            "RegisterModel", pb.RegisterModelRequest(parent=PARENT, model_id="better", model=model)
        )
        yield handle


async def ask(trainer: TrainerHandle, method: str, request: Any, metadata: Any = None) -> Any:
    """The answer, or the first one of a stream. Raises Failure."""
    call = getattr(trainer.stub, method)(request, metadata=metadata)
    if method != "WatchTrainingJob":
        return await call
    try:
        return await call.read()
    except grpc.aio.AioRpcError as error:
        raise status.from_rpc_error(error) from error


def test_every_method_of_the_contract_has_a_role_and_a_case_here() -> None:
    methods = {each.name for each in pb.DESCRIPTOR.services_by_name["TrainerService"].methods}
    assert methods <= ROLES.keys()
    assert methods - {name.rpartition("/")[2] for name in rpc.UNSCOPED} <= REQUESTS.keys()


async def test_every_method_is_for_one_project_and_one_role(trainer: TrainerHandle) -> None:
    assert REQUESTS.keys() == ROLES.keys() - {"ListModelFamilies"}
    for method, request in REQUESTS.items():
        with pytest.raises(errors.NotFound):
            await ask(trainer, method, request, trainer.trust.metadata("other", Role.OPERATOR))
        with pytest.raises((channels.ServiceIdentityRefused, errors.Unauthenticated)):
            await ask(trainer, method, request)
        if ROLES[method] > Role.VIEWER:
            with pytest.raises(errors.PermissionDenied):
                await ask(trainer, method, request, trainer.trust.metadata(role=Role.VIEWER))


async def test_a_strangers_own_project_is_no_way_in(trainer: TrainerHandle) -> None:
    theirs = create_request("mine", project="other")
    stolen_data, stolen_model = create_request("mine"), create_request("mine", project="other")
    stolen_data.parent = "projects/other"
    stolen_model.training_job.spec.base_model.model = MODEL
    stolen_look = pb.PreviewTrainingExamplesRequest(
        parent="projects/other", training_job=stolen_data.training_job
    )
    requests = {
        "PreviewTrainingExamples": stolen_look,
        "GetTrainingJob": pb.GetTrainingJobRequest(name="projects/other/trainingJobs/digits"),
        "GetModel": pb.GetModelRequest(name="projects/other/models/better"),
        "RegisterModel": pb.RegisterModelRequest(
            parent="projects/other", model_id="mine", model=pb.Model(training_job=JOB)
        ),
    }
    for method, request in [
        *requests.items(),
        ("CreateTrainingJob", stolen_data),
        ("CreateTrainingJob", stolen_model),
    ]:
        with pytest.raises(errors.NotFound):
            await trainer.call(method, request, project="other")
    for method, list_request, field in [
        ("ListTrainingJobs", pb.ListTrainingJobsRequest(parent="projects/other"), "training_jobs"),
        ("ListModels", pb.ListModelsRequest(parent="projects/other"), "models"),
    ]:
        found = getattr(await trainer.call(method, list_request, project="other"), field)
        assert all(each.name.startswith("presets/") for each in found)
    assert (await trainer.call("CreateTrainingJob", theirs, project="other")).name.startswith(
        "projects/other/"
    )


async def test_families_are_for_everyone(trainer: TrainerHandle) -> None:
    answer = await trainer.call("ListModelFamilies", pb.ListModelFamiliesRequest(), project="other")
    assert "llava" in {each.family for each in answer.families}
