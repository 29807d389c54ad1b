"""Builders of the trainer's values for tests: sensible everywhere but where the test says otherwise."""

from datetime import UTC, datetime, timedelta
from typing import Any

from visiontune_recipes.facts import DatasetFacts, Kind
from visiontune_recipes.resolve import resolve
from visiontune_recipes.spec import Spec
from visiontune_trainer.domain.job import Attempt, Job

NOW = datetime(2030, 1, 1, tzinfo=UTC)
JOB = "projects/default/trainingJobs/digits"
VERSION = "projects/default/datasets/digits/versions/v1"
FACTS = DatasetFacts(frozenset({Kind.CHAT_WITH_IMAGES}), {"train": 64, "validation": 16})


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def make_spec(**fields: Any) -> Spec:
    return Spec.model_validate({"dataset_version": VERSION, "base_model": {"preset": "tiny-llava"}, **fields})


def make_job(**fields: Any) -> Job:
    spec = fields.pop("spec", make_spec())
    values: dict[str, Any] = {
        "name": JOB,
        "project": "default",
        "uid": "uid-1",
        "display_name": "digits",
        "spec": spec,
        "resolved": resolve(spec, FACTS),
        "spec_digest": "sha256:0",
        "dataset_digest": "sha256:1",
        "family": "llava",
        "total_steps": 24,
        "traceparent": "",
        "created_at": NOW,
        "change": 1,
        "updated": 1,
    }
    return Job(**{**values, **fields})


def make_attempt(**fields: Any) -> Attempt:
    return Attempt(**{"job": JOB, "number": 1, "token_hash": "0" * 64, "created_at": NOW, **fields})
