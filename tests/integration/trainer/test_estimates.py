"""What a job would need, told before it starts."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune_kit.identity import Role
from visiontune_recipes.families import FAMILIES
from visiontune_trainer.ports import AcceleratorKind

from tests.support.s3 import SeaweedFS
from tests.support.scripted_http import Answer, Seen, scripted
from tests.support.trainer import PARENT, TrainerHandle, create_request, running_trainer

GIB = 1024**3
SEVEN_BILLION = {
    "model_type": "llava",
    "text_config": {
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "vocab_size": 32064,
    },
    "vision_config": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 336,
        "patch_size": 14,
    },
}


@pytest.fixture
async def trainer(s3: SeaweedFS, tmp_path: Path) -> AsyncIterator[TrainerHandle]:
    async with running_trainer(s3, tmp_path, model_roots=str(tmp_path / "models")) as handle:
        yield handle


async def validated(trainer: TrainerHandle, **spec: Any) -> pb.ValidateTrainingJobResponse:
    job = create_request(**spec).training_job
    request = pb.ValidateTrainingJobRequest(parent=PARENT, training_job=job)
    answer: pb.ValidateTrainingJobResponse = await trainer.call(
        "ValidateTrainingJob", request, role=Role.VIEWER
    )
    return answer


async def test_a_presets_needs_are_told_with_what_fits(trainer: TrainerHandle) -> None:
    trainer.backend.kinds = [
        AcceleratorKind("nvidia-l4", 24 * GIB, 8, True, 0.7, 0.2, 121e12),
        AcceleratorKind("other", None, 8, True, None, None),
    ]
    estimate = (await validated(trainer)).estimate
    assert estimate.unknown_reason == ""
    assert estimate.total_parameters == pytest.approx(625_728, rel=0.001)
    # A norm behind the layer that is read trains with nothing.
    assert estimate.total_parameters - 2 * 192 < estimate.trainable_parameters <= estimate.total_parameters
    tokens = estimate.tokens
    assert (tokens.median, tokens.p95, tokens.max, tokens.max_image) == (26, 36, 56, 16)
    memory = estimate.memory
    assert memory.weights_bytes == 4 * estimate.total_parameters
    assert memory.gradients_bytes == 4 * estimate.trainable_parameters
    assert memory.optimiser_bytes == 2 * memory.gradients_bytes
    assert memory.data_bytes > 0
    assert memory.base_bytes < memory.peak_bytes < 2 * memory.base_bytes
    l4, other = estimate.fits
    assert (l4.accelerator, l4.fits, list(l4.changes)) == ("nvidia-l4", True, [])
    told = {"accelerator", "needed_bytes"}
    assert {field.name for field, _ in other.ListFields()} == told
    assert {field.name for field, _ in l4.ListFields()} == told | {"memory_bytes", "fits", "duration", "cost"}


async def test_a_folder_the_trainer_can_read_is_counted_and_told_how_to_fit(
    trainer: TrainerHandle, tmp_path: Path
) -> None:
    folder = tmp_path / "models" / "llava"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(SEVEN_BILLION), encoding="utf-8")
    trainer.backend.kinds = [
        AcceleratorKind("a100", 80 * GIB, 8, True, 2.0, None, 312e12),
        AcceleratorKind("l4", 24 * GIB, 8, True, 0.7, 0.2, 121e12),
        AcceleratorKind("tiny", 2 * GIB, 8, True, 0.1, None, None),
    ]
    base = pb.BaseModel(path=str(folder))
    estimate = (await validated(trainer, base_model=base)).estimate
    assert 7.0e9 < estimate.total_parameters < 7.1e9
    assert estimate.tokens.max_image == 576
    a100, l4, tiny = estimate.fits
    assert [each.fits for each in estimate.fits] == [True, False, False]
    assert {each.field: each.value for each in l4.changes}
    assert list(tiny.changes) == []
    assert round(a100.cost, 4) == round(a100.duration.seconds / 3600 * 2.0, 4) or a100.duration.seconds < 60


@pytest.mark.parametrize(
    ("base", "why"),
    [
        (pb.BaseModel(hub=pb.HubModel(repo_id="a/b")), "VISIONTUNE_TRAINER_READ_HUB"),
        (pb.BaseModel(path="/etc"), "config.json"),
    ],
)
async def test_what_cannot_be_known_is_said(trainer: TrainerHandle, base: pb.BaseModel, why: str) -> None:
    estimate = (await validated(trainer, base_model=base)).estimate
    assert why in estimate.unknown_reason
    assert not estimate.HasField("memory")


@pytest.fixture
async def reading(s3: SeaweedFS, tmp_path: Path) -> AsyncIterator[TrainerHandle]:
    """A trainer that may read the Hub."""
    async with running_trainer(s3, tmp_path, read_hub=True) as handle:
        yield handle


async def told_of(trainer: TrainerHandle, revision: str = "") -> pb.Estimate:
    base = pb.BaseModel(hub=pb.HubModel(repo_id="a/b", revision=revision))
    return (await validated(trainer, base_model=base)).estimate


async def test_a_models_config_is_read_from_the_hub_where_the_operator_allows_it(
    reading: TrainerHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fake of the Hub: it serves one file as the Hub does, and knows no other repository."""
    config, commit = json.dumps(SEVEN_BILLION).encode(), "c" * 40

    def hub(seen: Seen) -> Answer:
        if not seen.path.startswith("/a/b/resolve/"):
            return Answer(404)
        revision = seen.path.split("/")[4]
        if revision == "large":
            return Answer(headers={"X-Repo-Commit": commit, "ETag": '"large"', "X-Linked-Size": str(2**30)})
        if revision not in {"main", commit}:
            return Answer(404, headers={"X-Error-Code": "RevisionNotFound"})
        return Answer(200, config, {"X-Repo-Commit": commit, "ETag": '"small"'})

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with scripted(hub) as server:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        found = await told_of(reading)
        assert 7.0e9 < found.total_parameters < 7.1e9
        assert {each.path for each in server.seen if "resolve" in each.path} <= {
            f"/a/b/resolve/{revision}/config.json" for revision in ("main", commit)
        }
        assert "larger than 1 MiB" in (await told_of(reading, "large")).unknown_reason
        assert "cannot be read" in (await told_of(reading, "gone")).unknown_reason
    # Out of reach, what was read stays known.
    assert (await told_of(reading)).total_parameters == found.total_parameters


async def test_choices_are_told_with_their_reasons_and_stored_with_the_job(
    trainer: TrainerHandle, tmp_path: Path
) -> None:
    folder = tmp_path / "models" / "llava"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(SEVEN_BILLION), encoding="utf-8")
    trainer.backend.kinds = [AcceleratorKind("small", 20 * GIB, 8, True, None, None, has_bf16=False)]
    spec: dict[str, Any] = {
        "base_model": pb.BaseModel(path=str(folder)),
        "resources": pb.Resources(accelerator="small", accelerator_count=1),
    }
    answer = await validated(trainer, **spec)
    told = {each.field.removeprefix("training_job.spec."): each for each in answer.choices}
    batch = told["hyperparameters.batch_size"]
    assert int(batch.value) < 4
    assert batch.reason == "So that the job fits small."
    assert told["hyperparameters.precision"].value == '"PRECISION_FP16"'
    assert answer.estimate.fits[0].fits
    # Of a folder that the trainer can read the family is known, and so where adapters go.
    targets = answer.resolved_spec.adaptation.lora.target_modules
    assert targets == FAMILIES["llava"].lora.language_model
    assert json.loads(told["adaptation.lora.target_modules"].value) == targets
    # What the machine decided is in the stored spec, and so in its digest.
    job = await trainer.create(**spec)
    assert job.resolved_spec == answer.resolved_spec
    trainer.backend.kinds = [AcceleratorKind("small", 80 * GIB, 8, True, None, None)]
    other = await trainer.create("other", **spec)
    assert other.resolved_spec.hyperparameters.batch_size == 4
    assert other.spec_digest != job.spec_digest


async def test_the_speed_of_an_earlier_job_is_preferred_to_the_formula(trainer: TrainerHandle) -> None:
    trainer.backend.kinds = [AcceleratorKind("l4", 24 * GIB, 8, True, 3600.0, None, 121e12)]
    there = pb.Resources(accelerator="l4", accelerator_count=1)
    before = (await validated(trainer, resources=there)).estimate
    assert not before.HasField("duration")
    assert not before.fits[0].HasField("measured_samples_per_second")
    job = await trainer.create(resources=there)
    worker = await trainer.claimed(job)
    for step, speed in ((1, 1.0), (2, 4.0), (3, 5.0)):
        await worker.metrics(step, loss=1.0, samples_per_second=speed)
    for step, speed in ((0, 8.0), (3, 24.0)):
        await worker.metrics(step, evaluation_samples_per_second=speed)
    await worker.succeed()
    await trainer.until(job.name, "SUCCEEDED")
    answer = await validated(trainer, resources=there)
    estimate = answer.estimate
    # 64 examples a pass, at the median of what was told.
    spec = answer.resolved_spec
    examples = answer.total_steps * spec.hyperparameters.batch_size
    # One before the first step, which is slower, and one an epoch.
    later = answer.total_steps // spec.evaluation.every_steps
    seconds = examples / 4.0 + trainer.datasets.splits["validation"] * (1 / 8.0 + later / 24.0)
    assert estimate.measured_samples_per_second == 4.0
    assert estimate.duration.seconds == round(seconds)
    [l4] = estimate.fits
    assert (l4.measured_samples_per_second, l4.duration) == (4.0, estimate.duration)
    assert l4.cost == pytest.approx(seconds)
    # Longer answers take longer, and nobody knows by how much.
    longer = pb.Evaluation(max_new_tokens=2 * spec.evaluation.max_new_tokens)
    known = (await validated(trainer, resources=there, evaluation=longer)).estimate
    assert known.duration.seconds == round(examples / 4.0)
    # Adapters are another training, and processors another place.
    adapters = pb.Adaptation(method=pb.Adaptation.METHOD_LORA)
    assert not (await validated(trainer, resources=there, adaptation=adapters)).estimate.HasField("duration")
    assert not (await validated(trainer)).estimate.HasField("duration")
