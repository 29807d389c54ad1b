"""What a job would need, told before it starts."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune_kit.identity import Role
from visiontune_trainer.ports import AcceleratorKind

from tests.support.s3 import SeaweedFS
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
    assert estimate.total_parameters == estimate.trainable_parameters
    assert 600_000 < estimate.total_parameters < 700_000
    tokens = estimate.tokens
    assert (tokens.median, tokens.p95, tokens.max, tokens.max_image) == (26, 36, 56, 16)
    memory = estimate.memory
    assert memory.weights_bytes == memory.gradients_bytes == 4 * estimate.total_parameters
    assert memory.optimiser_bytes == 2 * memory.weights_bytes
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
        (pb.BaseModel(hub=pb.HubModel(repo_id="a/b")), "Hub"),
        (pb.BaseModel(preset="tiny-idefics3"), "idefics3"),
        (pb.BaseModel(path="/etc"), "config.json"),
    ],
)
async def test_what_cannot_be_known_is_said(trainer: TrainerHandle, base: pb.BaseModel, why: str) -> None:
    estimate = (await validated(trainer, base_model=base)).estimate
    assert why in estimate.unknown_reason
    assert not estimate.HasField("memory")
