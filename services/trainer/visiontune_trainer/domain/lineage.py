"""How a model came to be: the trainings behind it, one generation each."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from visiontune_recipes.spec import Base

from visiontune_trainer.domain.job import Job


@dataclass(frozen=True, slots=True)
class Generation:
    """One training and what its result was registered as. What is not known any more is empty.

    The uids and the digest tell a resource from a later one of the same name.
    """

    model: str = ""
    model_uid: str = ""
    training_job: str = ""
    training_job_uid: str = ""
    dataset_version: str = ""
    dataset_digest: str = ""
    spec_digest: str = ""
    base: Base | None = None  # what it started from, at the commit that was loaded
    metrics_before: Mapping[str, float] = field(default_factory=dict)
    metrics_after: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """A generation, and what of it is not there any more."""

    generation: Generation
    model_deleted: bool
    training_job_deleted: bool
    dataset_version_deleted: bool


def generation_of(job: Job, model: str = "", model_uid: str = "") -> Generation:
    """Returns the generation that a job is, and the model that it became."""
    return Generation(
        model=model,
        model_uid=model_uid,
        training_job=job.name,
        training_job_uid=job.uid,
        dataset_version=job.resolved.dataset_version,
        dataset_digest=job.dataset_digest,
        spec_digest=job.spec_digest,
        base=job.resolved.base_model.at(job.base_revision),
        metrics_before=job.metrics_before,
        metrics_after=job.metrics_after,
    )
