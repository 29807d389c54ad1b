from pathlib import Path

import pytest
from visiontune.cli import jobfile
from visiontune.cli.failures import Failed
from visiontune.trainer.v1 import trainer_pb2
from visiontune.trainer.v1.augmentation_pb2 import Augmentation

WHOLE = """
training_job_id: first
display_name: The first
spec:
  dataset_version: projects/p/datasets/d/versions/v1
  base_model: {preset: tiny-llava}
  adaptation:
    method: lora
    lora: {rank: 8, alpha: 16}
    vision_tower: freeze
  hyperparameters:
    {epochs: 3, learning_rate: 1e-3, schedule: cosine, precision: PRECISION_BF16, max_steps: 10}
  resources: {max_duration: 3600}
  augmentation:
    allow_text_breaking: true
    transforms:
      - {name: RandomHorizontalFlip}
      - {name: ColorJitter, parameters: {brightness: 1e-1, hue: 0}}
"""


def test_a_file_is_the_job_that_the_api_takes(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(WHOLE)
    request = jobfile.load(path)
    spec = request.training_job.spec
    assert request.training_job_id == "first"
    assert request.training_job.display_name == "The first"
    assert spec.base_model.preset == "tiny-llava"
    assert spec.adaptation.method == trainer_pb2.Adaptation.METHOD_LORA
    assert spec.adaptation.lora.alpha == 16
    assert spec.adaptation.vision_tower == trainer_pb2.Adaptation.PART_FREEZE
    assert spec.hyperparameters.learning_rate == 0.001
    assert spec.hyperparameters.schedule == trainer_pb2.Hyperparameters.SCHEDULE_COSINE
    assert spec.hyperparameters.precision == trainer_pb2.Hyperparameters.PRECISION_BF16
    assert spec.hyperparameters.max_steps == 10
    assert spec.resources.max_duration.seconds == 3600
    assert spec.augmentation.allow_text_breaking
    assert [each.name for each in spec.augmentation.transforms] == ["RandomHorizontalFlip", "ColorJitter"]
    assert dict(spec.augmentation.transforms[1].parameters) == {"brightness": 0.1, "hue": 0}
    assert not spec.hyperparameters.HasField("seed")


@pytest.mark.parametrize(
    ("hyperparameters", "said"),
    [
        ({"learning_rate": "fast"}, "$.spec.hyperparameters.learning_rate: 'fast' is not a number."),
        ({"learning_rat": 0.1}, "$.spec.hyperparameters.learning_rat: there is no such field."),
        ({"batch_size": 1.5}, "$.spec.hyperparameters.batch_size: 1.5 is not a whole number."),
        ({"batch_size": True}, "$.spec.hyperparameters.batch_size: True is not a whole number."),
        ({"epochs": float("nan")}, "$.spec.hyperparameters.epochs: nan is not a number."),
        ({"schedule": "zigzag"}, "$.spec.hyperparameters.schedule: Input should be 'SCHEDULE_LINEAR'"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(hyperparameters: object, said: str) -> None:
    with pytest.raises(Failed) as caught:
        jobfile.parse({"spec": {"hyperparameters": hyperparameters}}, "job.yaml")
    assert f"job.yaml › {said}" in str(caught.value)


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(Failed) as caught:
        jobfile.parse({"speck": {}, "training_job_id": 7}, "job.yaml")
    assert str(caught.value).splitlines() == [
        "job.yaml › $.training_job_id: 7 is not text.",
        "job.yaml › $.spec: it is required.",
        "job.yaml › $.speck: there is no such field.",
    ]


@pytest.mark.parametrize("text", ["{", "a: b: c", "- x", "", "\t"])
def test_what_is_no_job_at_all_fails_with_one_clear_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    with pytest.raises(Failed, match=str(path)):
        jobfile.load(path)


def test_two_sources_of_a_model_are_refused() -> None:
    with pytest.raises(Failed, match=r"base_model|oneof"):
        jobfile.parse({"spec": {"base_model": {"preset": "a", "path": "/b"}}}, "job.yaml")


def test_the_example_is_a_job() -> None:
    path = Path(__file__).parents[3] / "examples" / "job.yaml"
    spec = jobfile.load(path).training_job.spec
    assert spec.dataset_version == "digits"
    assert spec.base_model.preset == "tiny-llava"


def test_a_preset_is_named_by_its_short_name() -> None:
    data = {"spec": {"augmentation": {"preset": "light"}}}
    assert jobfile.parse(data, "job.yaml").training_job.spec.augmentation.preset == Augmentation.PRESET_LIGHT


@pytest.mark.parametrize(
    ("augmentation", "said"),
    [
        ({"preset": "mild"}, "$.spec.augmentation.preset: Input should be 'PRESET_NONE'"),
        ({"transforms": {"name": "JPEG"}}, "$.spec.augmentation.transforms: Input should be a valid list."),
        (
            {"transforms": [{"name": "JPEG", "parameters": {"quality_min": "low"}}]},
            "$.spec.augmentation.transforms[0].parameters.quality_min: 'low' is not a number.",
        ),
    ],
)
def test_a_wrong_policy_is_named_by_its_path(augmentation: object, said: str) -> None:
    with pytest.raises(Failed) as caught:
        jobfile.parse({"spec": {"augmentation": augmentation}}, "job.yaml")
    assert f"job.yaml › {said}" in str(caught.value)
