"""Models and their lineage as messages of trainer.proto; pure."""

import re
from collections.abc import Sequence

from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune_recipes.presets import Preset
from visiontune_recipes.spec import MODEL_PATTERN, Base, Hub

from visiontune_trainer.domain.lineage import Seen
from visiontune_trainer.domain.models import Model, ModelFilter
from visiontune_trainer.wire import base_to, time_to


def filter_from(request: pb.ListModelsRequest) -> ModelFilter:
    """Returns which models are asked for."""
    return ModelFilter(request.family, request.dataset, _base_from(request.base))


def _base_from(text: str) -> Base | None:
    """A base as people write it."""
    if text.startswith("/"):
        return Base(path=text)
    if text.startswith("presets/"):
        return Base(preset=text.removeprefix("presets/"))
    if re.match(MODEL_PATTERN, text):
        return Base(model=text)
    return Base(hub=Hub(repo_id=text)) if text else None


def listed_to(found: Preset | Model) -> pb.Model:
    """Returns one of a list as a message."""
    return model_to(found) if isinstance(found, Model) else _preset_to(found)


def model_to(model: Model, lineage: Sequence[Seen] = ()) -> pb.Model:
    """Returns a registered model as a message."""
    return pb.Model(
        name=model.name,
        display_name=model.display_name,
        description=model.description,
        family=model.family,
        training_job=model.training_job,
        base_model=base_to(model.base_model),
        is_adapter=model.is_adapter,
        parameter_count=model.parameter_count,
        create_time=time_to(model.created_at),
        artifact=model.artifact,
        lineage=[_generation_to(each) for each in lineage],
        size_bytes=model.size_bytes,
        etag=model.etag,
    )


def _generation_to(seen: Seen) -> pb.Generation:
    found = seen.generation
    return pb.Generation(
        model=_link_to(found.model, seen.model_deleted),
        training_job=_link_to(found.training_job, seen.training_job_deleted),
        dataset_version=_link_to(found.dataset_version, seen.dataset_version_deleted),
        dataset_digest=found.dataset_digest,
        spec_digest=found.spec_digest,
        base_model=base_to(found.base) if found.base else None,
        metrics_before=found.metrics_before,
        metrics_after=found.metrics_after,
    )


def _link_to(name: str, deleted: bool) -> pb.Generation.Link | None:
    return pb.Generation.Link(name=name, deleted=deleted) if name else None


def _preset_to(preset: Preset) -> pb.Model:
    return pb.Model(
        name=f"presets/{preset.name}",
        display_name=preset.name,
        description=preset.description,
        family=preset.family,
        parameter_count=preset.parameter_count,
    )
