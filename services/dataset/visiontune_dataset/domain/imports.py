"""What an import is asked to do, and what names belong to it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Self

from visiontune_data.example import Kind
from visiontune_data.formats import AUTO, FORMATS, Format
from visiontune_data.inputs import RECORD_SUFFIXES
from visiontune_data.joining import Mode
from visiontune_data.treatment import AS_THEY_ARE, Treatment

from visiontune_dataset.domain.failures import UnknownFormat, VisionTrainingDisabled
from visiontune_dataset.domain.work import MakesVersion

KIND = "import"  # of the durable operation
_SHOWN = 200  # characters of a name, where others follow
_RECORDS = tuple(f".{suffix}" for suffix in sorted(RECORD_SUFFIXES))


@dataclass(frozen=True, slots=True)
class Given:
    """An upload, and the object with its bytes."""

    upload: str
    object: str
    filename: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class GoesOn:
    """The version that an import goes on from."""

    number: int
    mode: Mode


@dataclass(frozen=True, slots=True)
class ImportJob(MakesVersion):
    """One import, as the operation's row keeps it."""

    project: str
    dataset: str
    upload: str
    object: str  # of the first upload
    filename: str
    sha256: str
    size_bytes: int
    format: str
    skip_errors: bool
    validation_fraction: float
    created_at: str  # ISO 8601
    more: tuple[Given, ...] = ()  # uploads beside the first
    treatment: Treatment = AS_THEY_ARE
    base: GoesOn | None = None

    kind = KIND

    @property
    def given(self) -> tuple[Given, ...]:
        """All uploads, in order."""
        return (Given(self.upload, self.object, self.filename, self.sha256, self.size_bytes), *self.more)

    @property
    def total_bytes(self) -> int:
        """Bytes of all uploads."""
        return sum(each.size_bytes for each in self.given)

    @property
    def title(self) -> str:
        """What the uploads are called: the first, and how many more."""
        return f"{self.filename[:_SHOWN]} and {len(self.more)} more" if self.more else self.filename

    @property
    def may_name_digests(self) -> bool:
        """Whether an upload is a file of records, whose images may be those of earlier versions."""
        return any(each.filename.lower().endswith(_RECORDS) for each in self.given)

    @property
    def id(self) -> str:
        """Last segment of the operation's and the report's name."""
        return _id(self.upload)

    @property
    def owner(self) -> str:
        """The resource on whose behalf storage keeps what this import makes."""
        return f"{self.dataset_name}/imports/{self.id}"

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """The job out of the operation's payload."""
        fields = json.loads(payload)
        # Older jobs have none of these.
        more = tuple(Given(**each) for each in fields.pop("more", ()))
        treatment = Treatment.of(fields.pop("treatment", {}))
        base = fields.pop("base", None)
        goes_on = GoesOn(base["number"], Mode(base["mode"])) if base else None
        return cls(**fields, more=more, treatment=treatment, base=goes_on)


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
    saved_bytes: int = 0


def check_format(name: str, *, vision_enabled: bool) -> str:
    """The format to import, `auto` for none. Raises UnknownFormat, VisionTrainingDisabled."""
    wanted = name or AUTO
    if wanted != AUTO and wanted not in FORMATS:
        raise UnknownFormat(wanted)
    candidates = FORMATS.values() if wanted == AUTO else [FORMATS[wanted]]
    if all(unavailable_reason(each, vision_enabled=vision_enabled) for each in candidates):
        raise VisionTrainingDisabled(wanted)
    return wanted


def unavailable_reason(format_: Format, *, vision_enabled: bool) -> str:
    """Why imports of a format are refused; empty when they are not."""
    if vision_enabled or format_.kind is Kind.CHAT:
        return ""
    return VisionTrainingDisabled(format_.name).message


def check_kinds(format_name: str, kinds: Iterable[Kind], *, vision_enabled: bool) -> None:
    """Refuses what turned out to have images where these are off. Raises VisionTrainingDisabled."""
    if not vision_enabled and any(kind is not Kind.CHAT for kind in kinds):
        raise VisionTrainingDisabled(format_name)
