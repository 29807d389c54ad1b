"""Versions that keep a part of another one."""

import json
from dataclasses import dataclass
from typing import Self

from visiontune_dataset.domain.work import MakesVersion


@dataclass(frozen=True, slots=True)
class FilterJob(MakesVersion):
    """One such version to make, as the operation's row keeps it."""

    project: str
    dataset: str
    id: str  # last segment of the operation's and the report's name
    base: int
    filter: str
    created_at: str  # ISO 8601

    kind = "filter"

    @property
    def owner(self) -> str:
        """The resource on whose behalf storage keeps what this makes."""
        return f"{self.dataset_name}/filters/{self.id}"

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """The job out of the operation's payload."""
        return cls(**json.loads(payload))
