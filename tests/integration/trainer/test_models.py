"""Registered models, and what deleting a job takes with it."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune_kit import errors

from tests.support.eventually import eventually
from tests.support.s3 import SeaweedFS
from tests.support.trainer import PARENT, TrainerHandle, running_trainer


@pytest.fixture
async def trainer(s3: SeaweedFS, tmp_path: Path) -> AsyncIterator[TrainerHandle]:
    async with running_trainer(s3, tmp_path) as handle:
        yield handle


async def trained(
    trainer: TrainerHandle, job_id: str, artifact: str = "model", **spec: Any
) -> pb.TrainingJob:
    job = await trainer.create(job_id, **spec)
    worker = await trainer.claimed(job)
    await worker.checkpoint(5)
    await worker.succeed(artifact, f"{artifact} of {job_id}".encode())
    trainer.backend.exits(worker.attempt, 0)
    return job


async def register(
    trainer: TrainerHandle, job: pb.TrainingJob, model_id: str, request_id: str = ""
) -> pb.Model:
    request = pb.RegisterModelRequest(
        parent=PARENT, model_id=model_id, model=pb.Model(training_job=job.name), request_id=request_id
    )
    model: pb.Model = await trainer.call("RegisterModel", request)
    return model


async def delete(trainer: TrainerHandle, job: pb.TrainingJob) -> None:
    await trainer.call("DeleteTrainingJob", pb.DeleteTrainingJobRequest(name=job.name))


async def test_a_result_gets_a_name_and_a_later_job_starts_from_it(trainer: TrainerHandle) -> None:
    job = await trained(trainer, "digits")
    model = await register(trainer, job, "digits")
    assert model.family == "llava"
    assert not model.is_adapter
    assert model.parameter_count == 1234
    assert model.base_model.preset == "tiny-llava"
    base = pb.BaseModel(model=model.name)
    adapter_job = await trained(trainer, "parity", "adapter", base_model=base)
    adapter = await register(trainer, adapter_job, "parity")
    assert adapter.is_adapter
    assert adapter.base_model.model == model.name
    third = await trainer.create("third", base_model=pb.BaseModel(model=adapter.name))
    claim = await (await trainer.worker(third)).claim()
    assert claim.family == "llava"
    assert [(each.model, each.is_adapter) for each in claim.model_files] == [
        (model.name, False),
        (adapter.name, True),
    ]
    contents = [(await trainer.storage.http.get(each.files[0].url)).content for each in claim.model_files]
    assert contents == [b"model of digits", b"adapter of parity"]


async def test_a_continued_adapter_sits_on_the_base_of_the_first(trainer: TrainerHandle) -> None:
    whole = await register(trainer, await trained(trainer, "whole"), "whole")
    base = pb.BaseModel(model=whole.name)
    first = await register(trainer, await trained(trainer, "first", "adapter", base_model=base), "first")
    further = await trained(
        trainer,
        "further",
        "adapter",
        base_model=pb.BaseModel(model=first.name),
        adaptation=pb.Adaptation(continue_adapter=True),
    )
    model = await register(trainer, further, "further")
    assert model.base_model.model == whole.name
    # What it was trained from is in its job.
    assert (await trainer.get(model.training_job)).spec.base_model.model == first.name
    claim = await (
        await trainer.worker(await trainer.create("last", base_model=pb.BaseModel(model=model.name)))
    ).claim()
    assert [each.model for each in claim.model_files] == [whole.name, model.name]
    assert not claim.HasField("adapter_base")


async def test_an_adapter_on_a_repository_is_handed_over_with_it(trainer: TrainerHandle) -> None:
    base = pb.BaseModel(hub=pb.HubModel(repo_id="owner/tiny", revision="c0ffee"))
    adapter = await register(trainer, await trained(trainer, "first", "adapter", base_model=base), "first")
    job = await trainer.create("second", base_model=pb.BaseModel(model=adapter.name))
    claim = await (await trainer.worker(job)).claim()
    assert [each.model for each in claim.model_files] == [adapter.name]
    assert claim.adapter_base == base


@pytest.mark.parametrize(
    ("artifact", "adaptation", "rule"),
    [
        ("model", pb.Adaptation(continue_adapter=True), "not_an_adapter"),
        ("adapter", pb.Adaptation(method=pb.Adaptation.METHOD_QLORA), "merged_into_few_bits"),
    ],
)
async def test_what_a_registered_model_cannot_do_is_refused(
    trainer: TrainerHandle, artifact: str, adaptation: pb.Adaptation, rule: str
) -> None:
    path = pb.BaseModel(hub=pb.HubModel(repo_id="owner/tiny"))
    base = path if artifact == "adapter" else pb.BaseModel(preset="tiny-llava")
    model = await register(trainer, await trained(trainer, "first", artifact, base_model=base), "first")
    job = pb.TrainingJob(
        spec=pb.TrainingJobSpec(
            dataset_version=f"{PARENT}/datasets/digits/versions/v1",
            base_model=pb.BaseModel(model=model.name),
            adaptation=adaptation,
            resources=pb.Resources(accelerator_count=1),
        )
    )
    request = pb.ValidateTrainingJobRequest(parent=PARENT, training_job=job)
    answer = await trainer.call("ValidateTrainingJob", request)
    assert [problem.rule for problem in answer.problems] == [rule]


async def test_deleting_a_job_leaves_no_object(trainer: TrainerHandle) -> None:
    job = await trained(trainer, "digits")
    assert await trainer.objects(job.name)
    await delete(trainer, job)

    async def swept() -> bool:
        return not await trainer.objects()

    await eventually(swept)
    with pytest.raises(errors.NotFound):
        await trainer.get(job.name)
    with pytest.raises(errors.NotFound):
        await delete(trainer, job)
    again = await trainer.create("digits")
    assert again.uid != job.uid


async def test_a_job_of_a_deleted_ones_id_stores_files_of_its_own(trainer: TrainerHandle) -> None:
    await delete(trainer, await trained(trainer, "digits"))

    async def swept() -> bool:
        return not await trainer.objects()

    await eventually(swept)
    trainer.backend.launched.clear()
    again = await trained(trainer, "digits")  # The same bytes by the same names.
    answer = await trainer.call("ListArtifacts", pb.ListArtifactsRequest(parent=again.name))
    url = answer.artifacts[0].files[0].url
    assert (await trainer.storage.http.get(url)).content == b"model of digits"


async def test_a_registered_model_outlives_its_job(trainer: TrainerHandle) -> None:
    job = await trained(trainer, "digits")
    model = await register(trainer, job, "digits")
    await delete(trainer, job)

    async def only_the_model_is_left() -> bool:
        return await trainer.objects() == [f"{job.name}/artifacts/model/attempts/1"]

    await eventually(only_the_model_is_left)
    later = await trainer.create("later", base_model=pb.BaseModel(model=model.name))
    claim = await (await trainer.worker(later)).claim()
    answer = await trainer.storage.http.get(claim.model_files[0].files[0].url)
    assert answer.content == b"model of digits"


async def test_a_running_job_is_not_deleted(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    await trainer.claimed(job)
    with pytest.raises(errors.FailedPrecondition) as refused:
        await delete(trainer, job)
    assert refused.value.reason == "JobRuns"


async def test_only_results_are_registered_and_names_are_given_once(trainer: TrainerHandle) -> None:
    job = await trained(trainer, "digits")
    request_id = str(uuid.uuid4())
    first = await register(trainer, job, "digits", request_id)
    assert await register(trainer, job, "digits", request_id) == first
    with pytest.raises(errors.AlreadyExists):
        await register(trainer, job, "digits")
    running = await trainer.create("running")
    with pytest.raises(errors.FailedPrecondition) as refused:
        await register(trainer, running, "running")
    assert refused.value.reason == "NoResult"
    with pytest.raises(errors.InvalidArgument) as refused_too:
        await trainer.call(
            "RegisterModel", pb.RegisterModelRequest(parent=PARENT, model_id="x", model=pb.Model())
        )
    assert refused_too.value.reason == "TrainingJobRequired"
    with pytest.raises(errors.NotFound):
        await trainer.call("GetModel", pb.GetModelRequest(name=f"{PARENT}/models/none"))


async def test_models_are_listed_presets_first_page_by_page(trainer: TrainerHandle) -> None:
    job = await trained(trainer, "digits")
    for number in range(3):
        await register(trainer, job, f"m-{number}")
    names: list[str] = []
    token = ""
    while True:
        request = pb.ListModelsRequest(parent=PARENT, page_size=1, page_token=token)
        answer = await trainer.call("ListModels", request)
        names += [model.name for model in answer.models]
        token = answer.next_page_token
        if not token:
            break
    presets = [name for name in names if name.startswith("presets/")]
    assert presets == sorted(presets)
    assert names == [*presets, *(f"{PARENT}/models/m-{number}" for number in (2, 1, 0))]
    other = await trainer.call("ListModels", pb.ListModelsRequest(parent="projects/other"), project="other")
    assert [model.name for model in other.models] == presets
