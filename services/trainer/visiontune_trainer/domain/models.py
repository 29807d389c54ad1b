"""Registered models: results of jobs under a name from which later jobs can start."""

from dataclasses import dataclass
from datetime import datetime

from visiontune_recipes.spec import Base

from visiontune_trainer.domain.folders import Folder, StoredFile

ADAPTER = "artifacts/adapter"
FULL = "artifacts/model"


@dataclass(frozen=True, slots=True)
class Model:
    """A registered model. Its files stay in storage when its job is deleted."""

    name: str
    project: str
    uid: str
    display_name: str
    description: str
    family: str
    training_job: str
    base_model: Base  # what the job started from
    is_adapter: bool
    parameter_count: int
    owner: str  # owner of its files in storage
    files: tuple[StoredFile, ...]
    created_at: datetime


def result_of(artifacts: list[Folder]) -> Folder | None:
    """Returns the folder that a model is made of: the full weights, else the adapter."""
    by_path = {folder.path: folder for folder in artifacts}
    return by_path.get(FULL) or by_path.get(ADAPTER)
