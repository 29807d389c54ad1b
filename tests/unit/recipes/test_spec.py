"""A spec is the proto's shape: it reads a message and writes the same one."""

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict, ParseDict
from pydantic import BaseModel, ValidationError
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune.trainer.v1.augmentation_pb2 import Augmentation, Transform
from visiontune_recipes.spec import Base, Method, Spec, digest

VERSION = "projects/p/datasets/d/versions/v1"


def message() -> pb.TrainingJobSpec:
    return pb.TrainingJobSpec(
        dataset_version=VERSION,
        base_model=pb.BaseModel(hub=pb.HubModel(repo_id="owner/name", revision="abc")),
        adaptation=pb.Adaptation(
            method=pb.Adaptation.METHOD_LORA,
            lora=pb.Lora(rank=8, alpha=16.5, dropout=0.0, target_modules="x"),
            vision_tower=pb.Adaptation.PART_FREEZE,
        ),
        hyperparameters=pb.Hyperparameters(
            epochs=0.5,
            max_steps=2**40 % 100_000_000,
            batch_size=4,
            learning_rate=1e-4,
            schedule=pb.Hyperparameters.SCHEDULE_COSINE,
            seed=0,
            precision=pb.Hyperparameters.PRECISION_FP32,
        ),
        evaluation=pb.Evaluation(every_steps=10, sample_count=0),
        checkpointing=pb.Checkpointing(keep=3),
        resources=pb.Resources(
            accelerator="nvidia-l4", accelerator_count=1, max_duration=Duration(seconds=90)
        ),
        augmentation=Augmentation(
            transforms=[Transform(name="ColorJitter", parameters={"brightness": 0.25, "hue": 0})],
            allow_text_breaking=True,
        ),
    )


def to_spec(spec: pb.TrainingJobSpec) -> Spec:
    return Spec.model_validate(MessageToDict(spec, preserving_proto_field_name=True))


def test_a_message_survives_the_way_through_a_spec() -> None:
    assert ParseDict(to_spec(message()).to_dict(), pb.TrainingJobSpec()) == message()


def test_every_field_of_the_proto_is_a_field_of_the_spec() -> None:
    def compare(descriptor: Descriptor, model: type[BaseModel]) -> None:
        assert {field.name for field in descriptor.fields} == set(model.model_fields)
        for field in descriptor.fields:
            annotation = model.model_fields[field.name].annotation
            nested = [
                a for a in (annotation, *getattr(annotation, "__args__", ())) if hasattr(a, "model_fields")
            ]
            if nested and field.message_type is not None:
                compare(field.message_type, nested[0])

    compare(pb.TrainingJobSpec.DESCRIPTOR, Spec)


def test_unset_and_zero_are_told_apart() -> None:
    spec = to_spec(message())
    assert spec.hyperparameters.seed == 0
    assert spec.hyperparameters.weight_decay is None
    assert spec.adaptation.method is Method.LORA
    assert spec.adaptation.projector is None


@pytest.mark.parametrize("rate", [0, -1, 2, "fast", float("nan")])
def test_a_learning_rate_that_is_no_rate_is_refused(rate: object) -> None:
    with pytest.raises(ValidationError, match="learning_rate"):
        Spec.model_validate(
            {
                "dataset_version": VERSION,
                "base_model": {"preset": "x"},
                "hyperparameters": {"learning_rate": rate},
            }
        )


@pytest.mark.parametrize("base", [{}, {"preset": "x", "path": "/y"}])
def test_a_base_model_has_exactly_one_source(base: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="exactly one"):
        Spec.model_validate({"dataset_version": VERSION, "base_model": base})


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="learning_rat"):
        Spec.model_validate(
            {
                "dataset_version": VERSION,
                "base_model": {"preset": "x"},
                "hyperparameters": {"learning_rat": 1},
            }
        )


def test_an_enum_that_is_unspecified_is_unset() -> None:
    spec = Spec.model_validate(
        {
            "dataset_version": VERSION,
            "base_model": {"preset": "x"},
            "adaptation": {"method": "METHOD_UNSPECIFIED"},
        }
    )
    assert spec.adaptation.method is None


def test_the_digest_depends_on_the_values_and_not_on_their_order() -> None:
    spec = to_spec(message())
    again = Spec.model_validate(dict(reversed(spec.to_dict().items())))
    changed = spec.model_copy(update={"hyperparameters": spec.hyperparameters.model_copy(update={"seed": 1})})
    assert digest(again) == digest(spec)
    assert digest(changed) != digest(spec)
    assert digest(spec).startswith("sha256:")
    assert len(digest(spec)) == 71


def test_a_repository_is_pinned_to_a_commit_and_nothing_else_changes() -> None:
    asked = to_spec(message())
    pinned = asked.at("c0ffee")
    assert pinned.base_model.hub is not None
    assert (pinned.base_model.hub.repo_id, pinned.base_model.hub.revision) == ("owner/name", "c0ffee")
    assert pinned.model_copy(update={"base_model": asked.base_model}) == asked
    assert asked.at("") == asked
    preset = asked.model_copy(update={"base_model": Base(preset="tiny-llava")})
    assert preset.at("c0ffee") == preset
