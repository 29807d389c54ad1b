"""Drafts: edits of a version on their way to become the next one."""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from visiontune_dataset.domain.failures import (
    DraftCommitting,
    DraftEmpty,
    DraftOutdated,
    StaleEtag,
    TooManyEdits,
)
from visiontune_dataset.domain.work import MakesVersion

KIND = "commit"  # of the durable operation
LIFETIME = timedelta(days=30)  # since its last change
MOST_EDITS = 10_000


@dataclass(frozen=True, slots=True)
class Draft:
    """Edits of version `base`, the last numbered `last_number`. `operation` commits it, or is empty."""

    project: str
    dataset: str
    id: str
    base: int
    edit_count: int
    last_number: int
    operation: str
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    revision: int = 1

    @property
    def dataset_name(self) -> str:
        """The dataset's resource name."""
        return f"projects/{self.project}/datasets/{self.dataset}"

    @property
    def name(self) -> str:
        """The resource name."""
        return f"{self.dataset_name}/drafts/{self.id}"

    @property
    def base_name(self) -> str:
        """The resource name of the version that is edited."""
        return f"{self.dataset_name}/versions/v{self.base}"

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return hashlib.sha256(f"{self.name}/{self.revision}".encode()).hexdigest()[:16]

    def check_open(self, etag: str) -> None:
        """Raises StaleEtag when an etag is given and is not the present one; DraftCommitting."""
        if etag and etag != self.etag:
            raise StaleEtag(self.name)
        if self.operation:
            raise DraftCommitting(self.name, self.operation)

    def with_edits(self, count: int, at: datetime) -> "Draft":
        """The draft with so many edits more. Raises TooManyEdits."""
        if self.edit_count + count > MOST_EDITS:
            raise TooManyEdits(self.name, MOST_EDITS)
        return replace(
            self._changed(at), edit_count=self.edit_count + count, last_number=self.last_number + count
        )

    def without_edits(self, count: int, at: datetime) -> "Draft":
        """The draft with so many edits fewer."""
        return replace(self._changed(at), edit_count=self.edit_count - count)

    def rebased(self, base: int, at: datetime) -> "Draft":
        """The draft on another version."""
        return replace(self._changed(at), base=base)

    def committing(self, operation: str, newest: int, at: datetime) -> "Draft":
        """The draft while that operation commits it. Raises DraftEmpty, DraftOutdated."""
        if not self.edit_count:
            raise DraftEmpty(self.name)
        self.check_newest(newest)
        return replace(self._changed(at), operation=operation)

    def check_newest(self, newest: int) -> None:
        """Raises DraftOutdated unless its base is the dataset's newest version."""
        if newest != self.base:
            raise DraftOutdated(self.name, self.base, newest)

    def released(self, at: datetime) -> "Draft":
        """The draft after a commit that failed."""
        return replace(self._changed(at), operation="")

    def _changed(self, at: datetime) -> "Draft":
        return replace(self, updated_at=at, expires_at=at + LIFETIME, revision=self.revision + 1)


@dataclass(frozen=True, slots=True)
class CommitJob(MakesVersion):
    """One commit, as the operation's row keeps it. `objects` are the images that were uploaded for it."""

    project: str
    dataset: str
    id: str  # last segment of the operation's and the report's name
    draft: str
    base: int
    objects: tuple[str, ...]
    created_at: str  # ISO 8601

    kind = KIND

    @property
    def owner(self) -> str:
        """The resource on whose behalf storage keeps what this commit makes."""
        return f"{self.dataset_name}/commits/{self.id}"

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """The job out of the operation's payload."""
        values = json.loads(payload)
        return cls(**{**values, "objects": tuple(values["objects"])})
