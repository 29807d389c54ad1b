"""What an import is asked to do, and what names belong to it."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import IntEnum
from typing import Self

from visiontune_data.example import Kind
from visiontune_data.formats import AUTO, FORMATS

from visiontune_dataset.domain.failures import UnknownFormat, VisionTrainingDisabled

KIND = "import"  # of the durable operation


@dataclass(frozen=True, slots=True)
class ImportJob:
    """One import, as the operation's row keeps it."""

    project: str
    dataset: str
    upload: str
    object: str  # of the archive
    filename: str
    sha256: str
    size_bytes: int
    format: str
    skip_errors: bool
    validation_fraction: float
    created_at: str  # ISO 8601

    kind = KIND

    @property
    def dataset_name(self) -> str:
        """The dataset's resource name."""
        return f"projects/{self.project}/datasets/{self.dataset}"

    @property
    def id(self) -> str:
        """Last segment of the operation's and the report's name."""
        return _id(self.upload)

    @property
    def operation(self) -> str:
        """The operation's name."""
        return operation_name(self.project, self.dataset, self.upload)

    @property
    def owner(self) -> str:
        """The resource on whose behalf storage keeps what this import makes."""
        return f"{self.dataset_name}/imports/{self.id}"

    @property
    def report(self) -> str:
        """The validation report's name."""
        return f"{self.dataset_name}/validationReports/{self.id}"

    def to_bytes(self) -> bytes:
        """The job as the operation's payload."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """The job out of the operation's payload."""
        return cls(**json.loads(payload))


def operation_name(project: str, dataset: str, upload: str) -> str:
    """The name of the one operation that imports this upload into that dataset."""
    return f"projects/{project}/datasets/{dataset}/operations/{_id(upload)}"


def _id(upload: str) -> str:
    return f"import-{upload.rpartition('/')[2]}"


class Stage(IntEnum):
    """What an import is doing; numbers as in the proto."""

    QUEUED = 1
    READING = 2
    WRITING = 3
    COMMITTING = 4
    DONE = 5


@dataclass(frozen=True, slots=True)
class ImportState:
    """What those who poll an import see."""

    dataset: str
    total_bytes: int
    created_at: datetime
    updated_at: datetime
    stage: Stage = Stage.QUEUED
    percent: int = 0
    read_bytes: int = 0
    image_count: int = 0
    record_count: int = 0
    error_count: int = 0
    warning_count: int = 0
    validation_report: str = ""
    unchanged: bool = False
    restart_count: int = 0
    format_reason: str = ""


def check_format(name: str, *, vision_enabled: bool) -> str:
    """The format to import, `auto` for none. Raises UnknownFormat, VisionTrainingDisabled."""
    wanted = name or AUTO
    if wanted != AUTO and wanted not in FORMATS:
        raise UnknownFormat(wanted)
    candidates = FORMATS.values() if wanted == AUTO else [FORMATS[wanted]]
    if not vision_enabled and all(each.kind is not Kind.CHAT for each in candidates):
        raise VisionTrainingDisabled(wanted)
    return wanted


def check_kinds(format_name: str, kinds: Iterable[Kind], *, vision_enabled: bool) -> None:
    """Refuses what turned out to have images where these are off. Raises VisionTrainingDisabled."""
    if not vision_enabled and any(kind is not Kind.CHAT for kind in kinds):
        raise VisionTrainingDisabled(format_name)
