"""What a model came from, over generations, and what deleting a model takes with it."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune.worker.v1 import worker_pb2
from visiontune_kit import errors

from tests.integration.trainer.test_models import delete, register, trained
from tests.support.eventually import eventually
from tests.support.s3 import SeaweedFS
from tests.support.trainer import PARENT, TrainerHandle, running_trainer

DATA = f"{PARENT}/datasets/digits"


@pytest.fixture
async def trainer(s3: SeaweedFS, tmp_path: Path) -> AsyncIterator[TrainerHandle]:
    async with running_trainer(s3, tmp_path) as handle:
        yield handle


async def get(trainer: TrainerHandle, name: str) -> pb.Model:
    model: pb.Model = await trainer.call("GetModel", pb.GetModelRequest(name=name))
    return model


async def delete_model(trainer: TrainerHandle, name: str, etag: str = "", request_id: str = "") -> None:
    request = pb.DeleteModelRequest(name=name, etag=etag, request_id=request_id)
    await trainer.call("DeleteModel", request)


async def listed(trainer: TrainerHandle, **wanted: str) -> list[str]:
    request = pb.ListModelsRequest(parent=PARENT, page_size=1000, **wanted)
    answer = await trainer.call("ListModels", request)
    return [each.name.removeprefix(f"{PARENT}/models/") for each in answer.models]


def links(model: pb.Model) -> list[tuple[str, ...]]:
    """Job, model and data of each generation; `!` before what is deleted."""
    return [
        tuple(
            "!" * link.deleted + link.name.removeprefix(f"{PARENT}/")
            for link in (each.training_job, each.model, each.dataset_version)
        )
        for each in model.lineage
    ]


async def test_a_model_knows_all_that_it_came_from_also_what_is_gone(trainer: TrainerHandle) -> None:
    whole = await register(trainer, await trained(trainer, "whole"), "whole")
    base = pb.BaseModel(model=whole.name)
    first = await trained(trainer, "first", "adapter", base_model=base)
    earlier = pb.ResumeFrom(checkpoint=first.name)
    second = await trained(
        trainer,
        "second",
        "adapter",
        base_model=base,
        resume_from=earlier,
        hyperparameters=pb.Hyperparameters(epochs=100),
    )
    model = await register(trainer, second, "second")
    assert not model.lineage, "only GetModel looks what is still there"
    found = await get(trainer, model.name)
    data = "datasets/digits/versions/v1"
    assert links(found) == [
        ("trainingJobs/second", "models/second", data),
        ("trainingJobs/first", "", data),
        ("trainingJobs/whole", "models/whole", data),
    ]
    assert [each.base_model.WhichOneof("source") for each in found.lineage] == ["model", "model", "preset"]
    assert {each.dataset_digest for each in found.lineage} == {"sha256:" + "d" * 64}
    assert found.lineage[0].spec_digest == (await trainer.get(second.name)).spec_digest
    assert found.lineage[0].metrics_after == {"exact_match": 0.95}
    await delete(trainer, first)
    await trainer.create("first")  # Another one of that name is not that one.
    trainer.datasets.gone.add(f"{DATA}/versions/v1")
    assert links(await get(trainer, model.name)) == [
        ("trainingJobs/second", "models/second", f"!{data}"),
        ("!trainingJobs/first", "", f"!{data}"),
        ("trainingJobs/whole", "models/whole", f"!{data}"),
    ]


async def test_what_was_gone_before_a_model_was_registered_is_named(trainer: TrainerHandle) -> None:
    whole = await register(trainer, await trained(trainer, "whole"), "whole")
    base = pb.BaseModel(model=whole.name)
    numbers = pb.Hyperparameters(epochs=100)
    full = pb.Adaptation(method=pb.Adaptation.METHOD_FULL)
    first = await trained(trainer, "first", base_model=base, adaptation=full)
    earlier = pb.ResumeFrom(checkpoint=first.name)
    second = await trained(
        trainer, "second", base_model=base, adaptation=full, resume_from=earlier, hyperparameters=numbers
    )
    adapter = await trained(trainer, "adapter", "adapter", base_model=base)
    await delete_model(trainer, whole.name)
    model = await get(trainer, (await register(trainer, first, "first")).name)
    assert links(model)[1:] == [("", "!models/whole", "")]
    await delete(trainer, first)
    model = await get(trainer, (await register(trainer, second, "second")).name)
    assert links(model)[1:] == [("!trainingJobs/first", "", "")]
    with pytest.raises(errors.NotFound, match="models/whole"):
        await register(trainer, adapter, "adapter")


async def test_models_are_found_by_what_they_came_from(trainer: TrainerHandle) -> None:
    hub = pb.BaseModel(hub=pb.HubModel(repo_id="Owner/tiny_1", revision="c0ffee"))
    await register(trainer, await trained(trainer, "whole"), "whole")
    await register(
        trainer,
        await trained(trainer, "later", "adapter", base_model=pb.BaseModel(model=f"{PARENT}/models/whole")),
        "later",
    )
    await register(trainer, await trained(trainer, "hub", "adapter", base_model=hub, dataset="talk"), "hub")
    assert await listed(trainer, dataset=DATA) == ["later", "whole"]
    assert await listed(trainer, dataset=f"{DATA}/versions/v1") == ["later", "whole"]
    assert await listed(trainer, dataset=f"{DATA}/versions/v") == []
    assert await listed(trainer, base=f"{PARENT}/models/whole") == ["later"]
    assert await listed(trainer, base="presets/tiny-llava") == ["later", "whole"]
    assert await listed(trainer, base="Owner/tiny_1") == ["hub"]
    assert await listed(trainer, base="Owner/tiny") == []
    assert await listed(trainer, base="owner/Tiny_1") == []
    assert await listed(trainer, base="/models/x") == []
    assert await listed(trainer, family="llava") == ["presets/tiny-llava", "later", "whole"]
    assert await listed(trainer, family="clip", dataset=DATA) == []


async def test_a_models_files_are_listed_also_without_its_job(trainer: TrainerHandle) -> None:
    model = await register(trainer, await trained(trainer, "digits"), "digits")
    await delete(trainer, await trainer.get(model.training_job))
    answer = await trainer.call("ListModelFiles", pb.ListModelFilesRequest(parent=model.name))
    (file,) = answer.files
    assert file.size_bytes == model.size_bytes
    assert (await trainer.storage.http.get(file.url)).content == b"model of digits"
    with pytest.raises(errors.NotFound):
        await trainer.call("ListModelFiles", pb.ListModelFilesRequest(parent=f"{PARENT}/models/none"))


async def test_a_model_that_something_starts_from_is_not_deleted(trainer: TrainerHandle) -> None:
    whole = await register(trainer, await trained(trainer, "whole"), "whole")
    base = pb.BaseModel(model=whole.name)
    running = await trainer.create("running", base_model=base)
    with pytest.raises(errors.FailedPrecondition, match=running.name) as refused:
        await delete_model(trainer, whole.name)
    assert refused.value.reason == "ModelInUse"
    worker = await trainer.claimed(running)
    await worker.succeed("adapter")
    trainer.backend.exits(worker.attempt, 0)
    adapter = await register(trainer, await trainer.get(running.name), "adapter")
    with pytest.raises(errors.FailedPrecondition, match=adapter.name):
        await delete_model(trainer, whole.name)
    await delete_model(trainer, adapter.name)
    await delete_model(trainer, whole.name)
    with pytest.raises(errors.InvalidArgument, match="was not found in this project"):
        await trainer.create("late", base_model=base)
    with pytest.raises(errors.NotFound):
        await delete_model(trainer, whole.name)


async def test_a_deleted_models_files_go_when_nobody_else_has_them(trainer: TrainerHandle) -> None:
    job = await trained(trainer, "digits")
    for name in ("one", "two", "three"):
        await register(trainer, job, name)
    result = [f"{job.name}/artifacts/model/attempts/1"]
    await delete_model(trainer, f"{PARENT}/models/one")
    await delete(trainer, job)
    with pytest.raises(errors.Aborted) as refused:
        await delete_model(trainer, f"{PARENT}/models/two", etag='"another"')
    assert refused.value.reason == "StaleEtag"
    etag, request_id = (await get(trainer, f"{PARENT}/models/two")).etag, str(uuid.uuid4())
    for _ in range(2):  # A repeated call is answered alike.
        await delete_model(trainer, f"{PARENT}/models/two", etag, request_id)

    async def only_the_last_ones_are_left() -> bool:
        return await trainer.objects() == result

    await eventually(only_the_last_ones_are_left)
    await delete_model(trainer, f"{PARENT}/models/three")

    async def swept() -> bool:
        return not await trainer.objects()

    await eventually(swept)


async def test_a_model_deleted_while_a_job_is_being_made_leaves_no_job(trainer: TrainerHandle) -> None:
    whole = await register(trainer, await trained(trainer, "whole"), "whole")

    async def delete_it() -> None:
        trainer.datasets.meanwhile = None
        await delete_model(trainer, whole.name)

    trainer.datasets.meanwhile = delete_it
    with pytest.raises(errors.NotFound) as refused:
        await trainer.create("late", base_model=pb.BaseModel(model=whole.name))
    assert refused.value.reason == "ModelNotFound"
    with pytest.raises(errors.NotFound):
        await trainer.get(f"{PARENT}/trainingJobs/late")


async def test_a_model_is_made_of_the_artifact_that_is_asked_for(trainer: TrainerHandle) -> None:
    base = pb.BaseModel(hub=pb.HubModel(repo_id="owner/tiny"))
    job = await trainer.create("both", base_model=base)
    worker = await trainer.claimed(job)
    artifacts = [
        worker_pb2.ArtifactUploads(
            artifact=name, files=await worker.upload(f"artifacts/{name}", {"a": name.encode()})
        )
        for name in ("adapter", "merged")
    ]
    await worker.finish(artifacts=artifacts)
    for model_id, artifact, made_of in (("one", "", "adapter"), ("two", "merged", "merged")):
        model = pb.Model(training_job=job.name, artifact=artifact)
        request = pb.RegisterModelRequest(parent=PARENT, model_id=model_id, model=model)
        registered = await trainer.call("RegisterModel", request)
        assert (registered.artifact, registered.is_adapter) == (made_of, made_of == "adapter")
        answer = await trainer.call("ListModelFiles", pb.ListModelFilesRequest(parent=registered.name))
        assert (await trainer.storage.http.get(answer.files[0].url)).content == made_of.encode()
    model = pb.Model(training_job=job.name, artifact="model")
    with pytest.raises(errors.FailedPrecondition, match="no artifact `model`") as refused:
        await trainer.call(
            "RegisterModel", pb.RegisterModelRequest(parent=PARENT, model_id="three", model=model)
        )
    assert refused.value.reason == "NoResult"
