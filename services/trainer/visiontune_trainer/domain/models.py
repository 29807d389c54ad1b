"""Registered models: results of jobs under a name from which later jobs can start."""

from dataclasses import dataclass
from datetime import datetime

from visiontune_recipes.spec import Base

from visiontune_trainer.domain.folders import ARTIFACT_PREFIX, Folder, StoredFile
from visiontune_trainer.domain.lineage import Generation

# What a model is made of unless somebody says: what its job trained. A job has one of them.
TRAINED = ("model", "adapter")


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
    artifact: str  # of its job: model, adapter or merged
    lineage: tuple[Generation, ...]  # newest first, its own training included

    @property
    def etag(self) -> str:
        """The same as long as the model is; nothing of it changes."""
        return f'"{self.uid}"'

    @property
    def size_bytes(self) -> int:
        """Bytes of its files."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """Which models are listed; what is empty does not matter."""

    family: str = ""
    dataset: str = ""  # name of a dataset or a version, in any generation
    base: Base | None = None  # in any generation; a Hub repository of any revision


def result_of(artifacts: list[Folder], wanted: str) -> Folder | None:
    """Returns the artifact that a model is made of: the wanted one, else what was trained."""
    by_path = {folder.path: folder for folder in artifacts}
    names = (wanted,) if wanted else TRAINED
    return next((by_path[path] for name in names if (path := ARTIFACT_PREFIX + name) in by_path), None)
