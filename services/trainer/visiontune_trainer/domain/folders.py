"""Folders of files of an attempt: checkpoints, artifacts and its log, from the first upload to deletion.

    OPEN ──► COMMITTED ──► DOOMED ──► (row gone)
      └───────────────────────▲

A folder's row is written before its first byte and goes after its last one, so that a crash at any
point leaves a row that the sweep finishes.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from visiontune_trainer.domain.problems import FilePathRefused

CHECKPOINT_PREFIX = "checkpoints/step-"
ARTIFACT_PREFIX = "artifacts/"
LOG_PREFIX = "logs/attempt-"
# Segments hold more than dots: whoever downloads a folder joins the paths to one of its own.
_SEGMENT = r"[.]{0,2}[A-Za-z0-9_-][A-Za-z0-9._-]*"
_PATH = re.compile(f"{_SEGMENT}(/{_SEGMENT})*")


class FolderState(StrEnum):
    """Where a folder stands."""

    OPEN = "OPEN"  # being uploaded
    COMMITTED = "COMMITTED"  # exists
    DOOMED = "DOOMED"  # its objects are to be deleted


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of a committed folder."""

    path: str
    object: str  # projects/{project}/objects/{object}
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A checkpoint, an artifact or the log of one attempt."""

    job: str
    path: str  # checkpoints/step-{step}, artifacts/{artifact} or logs/attempt-{attempt}
    attempt: int
    created_at: datetime
    state: FolderState = FolderState.OPEN
    files: tuple[StoredFile, ...] = ()
    step: int = 0
    epoch: float = 0.0
    committed_at: datetime | None = None

    @property
    def name(self) -> str:
        """Resource name of the checkpoint, artifact or log."""
        return f"{self.job}/{self.path}"

    @property
    def owner(self) -> str:
        """Owner of its objects.

        The attempt is part of it, so that deleting what a lost attempt left cannot touch what the
        next one stores under the same name.
        """
        return f"{self.name}/attempts/{self.attempt}"

    @property
    def size_bytes(self) -> int:
        """Bytes of its files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def is_checkpoint(self) -> bool:
        """True for a checkpoint."""
        return self.path.startswith(CHECKPOINT_PREFIX)

    @property
    def is_artifact(self) -> bool:
        """True for an artifact."""
        return self.path.startswith(ARTIFACT_PREFIX)

    @property
    def is_log(self) -> bool:
        """True for the log of an attempt."""
        return self.path.startswith(LOG_PREFIX)

    @property
    def is_adapter(self) -> bool:
        """True for an artifact that is loaded on top of another model."""
        return self.path == f"{ARTIFACT_PREFIX}adapter"


def key_of(owner: str) -> tuple[str, str, int]:
    """Returns job, path and attempt of the folder whose objects belong to `owner`."""
    name, _, attempt = owner.rpartition("/attempts/")
    *job, kind, artifact = name.split("/")
    return "/".join(job), f"{kind}/{artifact}", int(attempt)


def check_path(path: str) -> None:
    """Raises FilePathRefused unless `path` stays below whatever folder it is joined to."""
    if not _PATH.fullmatch(path):
        raise FilePathRefused(path)


def newest_first(checkpoints: Iterable[Folder]) -> list[Folder]:
    """Orders checkpoints by step, then attempt, newest first."""
    return sorted(checkpoints, key=lambda folder: (folder.step, folder.attempt), reverse=True)


def beyond(checkpoints: Sequence[Folder], keep: int, best_step: int | None = None) -> list[Folder]:
    """Returns the checkpoints to delete so that the `keep` newest steps and the best one stay, each once."""
    steps = sorted({folder.step for folder in checkpoints}, reverse=True)
    wanted = {*steps[:keep], *([best_step] if keep else [])}
    surplus = []
    for folder in newest_first(checkpoints):
        if folder.step in wanted:
            wanted.remove(folder.step)
        else:
            surplus.append(folder)
    return surplus
