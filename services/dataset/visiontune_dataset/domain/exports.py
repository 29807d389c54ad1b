"""Exports: a version as an archive, kept for a while."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from visiontune_data.export import EXPORTS, Archive

from visiontune_dataset.domain.datasets import Version
from visiontune_dataset.domain.failures import ExportUnfit, UnknownFormat
from visiontune_dataset.domain.work import Work

KIND = "export"  # of the durable operation
LIFETIME = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Export:
    """One archive. `object` is storage's."""

    project: str
    dataset: str
    id: str
    version: int
    format: str
    filename: str
    object: str
    sha256: str
    size_bytes: int
    example_count: int
    image_count: int
    created_at: datetime
    expires_at: datetime

    @property
    def dataset_name(self) -> str:
        """The dataset's resource name."""
        return f"projects/{self.project}/datasets/{self.dataset}"

    @property
    def name(self) -> str:
        """The resource name, and that on whose behalf storage keeps the archive."""
        return f"{self.dataset_name}/exports/{self.id}"


@dataclass(frozen=True, slots=True)
class ExportJob(Work):
    """One export, as the operation's row keeps it."""

    project: str
    dataset: str
    id: str  # last segment of the operation's and the export's name
    version: int
    format: str
    archive: Archive
    created_at: str  # ISO 8601

    kind = KIND

    @property
    def owner(self) -> str:
        """The export's name."""
        return f"{self.dataset_name}/exports/{self.id}"

    @property
    def filename(self) -> str:
        """What the archive is called."""
        return f"{self.dataset}-v{self.version}-{self.format}.{self.archive}"

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """The job out of the operation's payload."""
        return cls(**json.loads(payload))


@dataclass(frozen=True, slots=True)
class ExportState:
    """What those who poll an export see."""

    version: str
    created_at: datetime
    updated_at: datetime
    percent: int = 0
    example_count: int = 0
    restart_count: int = 0


def format_for(wanted: str, version: Version) -> str:
    """The format to write, the version's own for none. Raises UnknownFormat, ExportUnfit."""
    name = wanted or version.format
    if name not in EXPORTS:
        raise UnknownFormat(name)
    if strange := set(version.kinds) - set(EXPORTS[name]):
        fit = [each for each, kinds in EXPORTS.items() if set(version.kinds) <= set(kinds)]
        raise ExportUnfit(
            version.name,
            f"{name} has no place for {' and '.join(sorted(strange))} examples",
            f"use {', '.join(fit)}" if fit else "no one format has a place for all of them",
        )
    return name
