"""Jobs over gRPC: what is accepted, what is refused and how, who sees what."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune.trainer.v1.augmentation_pb2 import Augmentation, Transform
from visiontune_kit import errors, pages
from visiontune_kit.identity import Role

from tests.support.s3 import SeaweedFS
from tests.support.trainer import PARENT, TrainerHandle, create_request, running_trainer


@pytest.fixture
async def trainer(s3: SeaweedFS, tmp_path: Path) -> AsyncIterator[TrainerHandle]:
    async with running_trainer(s3, tmp_path, model_roots="/models") as handle:
        yield handle


async def test_a_job_is_queued_with_every_choice_made(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    assert job.name == f"{PARENT}/trainingJobs/digits"
    assert job.state in {pb.TrainingJob.STATE_QUEUED, pb.TrainingJob.STATE_STARTING}
    assert not job.spec.hyperparameters.HasField("learning_rate")
    assert job.resolved_spec.hyperparameters.learning_rate > 0
    assert job.resolved_spec.resources.max_attempts == 5
    assert job.spec_digest.startswith("sha256:")
    assert job.dataset_digest == "sha256:" + "d" * 64
    assert job.progress.total_steps > 0


async def test_a_job_on_pairs_learns_which_answer_is_better(trainer: TrainerHandle) -> None:
    job = await trainer.create("pairs", dataset="pairs", preference=pb.Preference(beta=0.3))
    spec = job.resolved_spec
    assert spec.objective == pb.TrainingJobSpec.OBJECTIVE_PREFERENCE
    assert (spec.preference.beta, spec.preference.label_smoothing) == (0.3, 0.0)


async def test_a_repeated_request_makes_one_job(trainer: TrainerHandle) -> None:
    request_id = str(uuid.uuid4())
    first = await trainer.create("", request_id=request_id)
    again = await trainer.create("", request_id=request_id)
    assert first.name == again.name
    listed = await trainer.call("ListTrainingJobs", pb.ListTrainingJobsRequest(parent=PARENT))
    assert len(listed.training_jobs) == 1


async def test_an_id_is_given_once(trainer: TrainerHandle) -> None:
    await trainer.create("digits")
    with pytest.raises(errors.AlreadyExists) as refused:
        await trainer.create("digits", request_id=str(uuid.uuid4()))
    assert refused.value.reason == "JobExists"


@pytest.mark.parametrize(
    ("spec", "field", "rule"),
    [
        ({"version": "v9"}, "dataset_version", "unknown_dataset_version"),
        ({"base_model": pb.BaseModel(preset="huge-llava")}, "base_model.preset", "unknown_preset"),
        ({"dataset": "captions"}, "dataset_version", "kind_not_taken"),
        (
            {"base_model": pb.BaseModel(preset="tiny-paligemma")},
            "dataset_version",
            "conversations_too_long",
        ),
        ({"preference": pb.Preference(beta=0.2)}, "preference", "preference_without_objective"),
        ({"base_model": pb.BaseModel(path="/etc/models/x")}, "base_model.path", "path_not_allowed"),
        ({"base_model": pb.BaseModel(path="/models/../etc")}, "base_model.path", "path_not_allowed"),
        (
            {"base_model": pb.BaseModel(model="projects/default/models/none")},
            "base_model.model",
            "unknown_model",
        ),
        (
            {"hyperparameters": pb.Hyperparameters(learning_rate=0.0)},
            "hyperparameters.learning_rate",
            "double.gt_lte",
        ),
    ],
)
async def test_what_cannot_run_is_refused_field_by_field(
    trainer: TrainerHandle, spec: dict[str, Any], field: str, rule: str
) -> None:
    request = create_request(**spec)
    with pytest.raises(errors.InvalidArgument) as refused:
        await trainer.call("CreateTrainingJob", request)
    [violation] = refused.value.violations
    assert violation.field == f"training_job.spec.{field}"
    assert violation.reason == rule
    listed = await trainer.call("ListTrainingJobs", pb.ListTrainingJobsRequest(parent=PARENT))
    assert not listed.training_jobs


async def test_a_dry_run_says_the_same_and_makes_nothing(trainer: TrainerHandle) -> None:
    good = create_request()
    answer = await trainer.call(
        "ValidateTrainingJob",
        pb.ValidateTrainingJobRequest(parent=PARENT, training_job=good.training_job),
        role=Role.VIEWER,
    )
    assert not answer.problems
    assert answer.total_steps == answer.resolved_spec.hyperparameters.epochs * 2
    bad = create_request(
        dataset="captions",
        adaptation=pb.Adaptation(method=pb.Adaptation.METHOD_FULL, lora=pb.Lora(rank=8)),
    )
    request = pb.ValidateTrainingJobRequest(parent=PARENT, training_job=bad.training_job)
    answer = await trainer.call("ValidateTrainingJob", request)
    with pytest.raises(errors.InvalidArgument) as refused:
        await trainer.call("CreateTrainingJob", bad)
    dry = [(problem.field, problem.rule) for problem in answer.problems]
    assert dry == [(violation.field, violation.reason) for violation in refused.value.violations]
    assert [rule for _, rule in dry] == ["kind_not_taken", "lora_with_full"]


async def test_another_projects_data_and_models_are_not_there(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    for method, request in (
        ("GetTrainingJob", pb.GetTrainingJobRequest(name=job.name)),
        ("CancelTrainingJob", pb.CancelTrainingJobRequest(name=job.name)),
        ("DeleteTrainingJob", pb.DeleteTrainingJobRequest(name=job.name)),
        ("ListEvents", pb.ListEventsRequest(parent=job.name)),
        ("ListTrainingJobs", pb.ListTrainingJobsRequest(parent=PARENT)),
    ):
        with pytest.raises(errors.NotFound):
            await trainer.call(method, request, project="other", role=Role.OPERATOR)
    foreign = create_request(project="other")
    foreign.training_job.spec.dataset_version = "projects/default/datasets/digits/versions/v1"
    with pytest.raises(errors.NotFound):
        await trainer.call("CreateTrainingJob", foreign, project="other")
    listed = await trainer.call(
        "ListTrainingJobs", pb.ListTrainingJobsRequest(parent="projects/other"), project="other"
    )
    assert not listed.training_jobs


async def test_a_viewer_reads_and_does_not_write(trainer: TrainerHandle) -> None:
    job = await trainer.create()
    await trainer.call("GetTrainingJob", pb.GetTrainingJobRequest(name=job.name), role=Role.VIEWER)
    with pytest.raises(errors.PermissionDenied):
        await trainer.call("CancelTrainingJob", pb.CancelTrainingJobRequest(name=job.name), role=Role.VIEWER)


async def test_a_job_that_is_not_there_is_not_found(trainer: TrainerHandle) -> None:
    name = f"{PARENT}/trainingJobs/none"
    for method, request in (
        ("GetTrainingJob", pb.GetTrainingJobRequest(name=name)),
        ("CancelTrainingJob", pb.CancelTrainingJobRequest(name=name)),
        ("DeleteTrainingJob", pb.DeleteTrainingJobRequest(name=name)),
        ("ListMetrics", pb.ListMetricsRequest(parent=name)),
        ("ListArtifacts", pb.ListArtifactsRequest(parent=name)),
    ):
        with pytest.raises(errors.NotFound) as refused:
            await trainer.call(method, request)
        assert refused.value.reason == "JobNotFound"


async def test_jobs_are_listed_newest_first_page_by_page(trainer: TrainerHandle) -> None:
    for number in range(5):
        await trainer.create(f"job-{number}")
    names: list[str] = []
    token = ""
    while True:
        request = pb.ListTrainingJobsRequest(parent=PARENT, page_size=2, page_token=token)
        answer = await trainer.call("ListTrainingJobs", request)
        assert len(answer.training_jobs) <= 2
        names += [job.name.rpartition("/")[2] for job in answer.training_jobs]
        token = answer.next_page_token
        if not token:
            break
    assert names == [f"job-{number}" for number in (4, 3, 2, 1, 0)]


async def test_jobs_of_one_dataset_or_version_are_listed(trainer: TrainerHandle) -> None:
    for job_id, dataset in (("a", "digits"), ("b", "talk"), ("c", "digits"), ("d", "digits")):
        await trainer.create(job_id, dataset=dataset)

    async def listed(dataset: str, **page: Any) -> pb.ListTrainingJobsResponse:
        below = f"{PARENT}/datasets/{dataset}"
        request = pb.ListTrainingJobsRequest(parent=PARENT, dataset=below, **page)
        answer: pb.ListTrainingJobsResponse = await trainer.call("ListTrainingJobs", request)
        return answer

    async def ids(dataset: str) -> list[str]:
        return [job.name.rpartition("/")[2] for job in (await listed(dataset)).training_jobs]

    for name in ("digits", "digits/versions/v1"):
        assert await ids(name) == ["d", "c", "a"]
    assert await ids("talk") == ["b"]
    # Neither a part of a name nor what a database would take for a pattern.
    for name in ("digit", "digits/versions/v", "digits/versions/v2", "tal_", "%", "none"):
        assert await ids(name) == [], name
    first = await listed("digits", page_size=2)
    rest = await listed("digits", page_size=2, page_token=first.next_page_token)
    assert [len(page.training_jobs) for page in (first, rest)] == [2, 1]
    assert not rest.next_page_token
    with pytest.raises(errors.InvalidArgument):
        await listed("talk", page_token=first.next_page_token)


async def test_a_made_up_page_token_is_the_callers_fault(trainer: TrainerHandle) -> None:
    await trainer.create()
    job = f"{PARENT}/trainingJobs/digits"
    requests: list[tuple[str, Any]] = [
        ("ListTrainingJobs", pb.ListTrainingJobsRequest(parent=PARENT)),
        ("ListModels", pb.ListModelsRequest(parent=PARENT)),
        ("ListEvents", pb.ListEventsRequest(parent=job)),
    ]
    for method, request in requests:
        request.page_token = pages.encode(request, ["yesterday", "x"])
        with pytest.raises(errors.InvalidArgument) as refused:
            await trainer.call(method, request)
        assert refused.value.reason == "InvalidPageToken", method


async def test_a_waiting_job_is_cancelled_at_once_and_again(trainer: TrainerHandle) -> None:
    await trainer.create("first")
    second = await trainer.create("second")  # one slot: it waits
    cancelled = await trainer.call("CancelTrainingJob", pb.CancelTrainingJobRequest(name=second.name))
    assert cancelled.state == pb.TrainingJob.STATE_CANCELLED
    assert cancelled.HasField("end_time")
    again = await trainer.call("CancelTrainingJob", pb.CancelTrainingJobRequest(name=second.name))
    assert again == cancelled
    assert await trainer.events(second.name) == ["QUEUED", "CANCEL_REQUESTED", "CANCELLED"]


async def test_vision_can_be_switched_off(s3: SeaweedFS, tmp_path: Path) -> None:
    async with running_trainer(s3, tmp_path, enable_vision_training=False) as trainer:
        with pytest.raises(errors.FailedPrecondition) as refused:
            await trainer.create()
        assert refused.value.reason == "VisionTrainingDisabled"
        families = await trainer.call("ListModelFamilies", pb.ListModelFamiliesRequest())
        assert families.families
        for family in families.families:
            sees = set(family.takes) - {"CHAT"}
            assert bool(family.unavailable_reason) == bool(sees), family.family
            assert "ENABLE_VISION_TRAINING" in family.unavailable_reason or not sees
        assert "text" in [family.family for family in families.families if not family.unavailable_reason]
        models = await trainer.call("ListModels", pb.ListModelsRequest(parent=PARENT))
        assert [model.name for model in models.models] == ["presets/tiny-text"]


async def test_families_and_presets_are_listed(trainer: TrainerHandle) -> None:
    families = await trainer.call("ListModelFamilies", pb.ListModelFamiliesRequest(), role=Role.VIEWER)
    llava = next(family for family in families.families if family.family == "llava")
    assert not llava.unavailable_reason
    assert llava.model_class == "LlavaForConditionalGeneration"
    assert "tiny-llava" in llava.presets
    models = await trainer.call("ListModels", pb.ListModelsRequest(parent=PARENT))
    assert "presets/tiny-llava" in [model.name for model in models.models]


FLIP = Augmentation(transforms=[Transform(name="RandomHorizontalFlip")])


async def test_a_policy_is_resolved_and_stored_with_the_job(trainer: TrainerHandle) -> None:
    job = await trainer.create(augmentation=Augmentation(preset=Augmentation.PRESET_STRONG))
    assert job.spec.augmentation.preset == Augmentation.PRESET_STRONG
    transforms = job.resolved_spec.augmentation.transforms
    assert [each.name for each in transforms][:2] == ["RandomAffine", "RandomPerspective"]
    assert transforms[0].parameters["probability"] == 1
    assert (await trainer.create("plain")).spec_digest != job.spec_digest


async def test_a_flip_of_digits_is_refused_unless_it_is_asked_for(trainer: TrainerHandle) -> None:
    with pytest.raises(errors.InvalidArgument) as refused:
        await trainer.create(augmentation=FLIP)
    violation = refused.value.violations[0]
    assert violation.field == "training_job.spec.augmentation.transforms"
    assert '80 examples are about reading ("digit")' in violation.description
    asked = Augmentation(transforms=FLIP.transforms, allow_text_breaking=True)
    assert (await trainer.create(augmentation=asked)).resolved_spec.augmentation.allow_text_breaking


async def test_a_policy_for_text_alone_is_a_warning(trainer: TrainerHandle) -> None:
    job = create_request(dataset="talk", augmentation=FLIP).training_job
    request = pb.ValidateTrainingJobRequest(parent=PARENT, training_job=job)
    answer = await trainer.call("ValidateTrainingJob", request)
    assert list(answer.problems) == []
    [warning] = answer.warnings
    assert (warning.field, warning.rule) == ("training_job.spec.augmentation", "nothing_to_augment")
