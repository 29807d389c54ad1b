"""The trainer's schema. A row of a table is a value of the domain: columns carry the names of its fields."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator
from visiontune_kit import idempotency
from visiontune_kit.database import NAMING, UtcDateTime
from visiontune_recipes.spec import Base, Spec

from visiontune_trainer.domain.folders import FolderState, StoredFile
from visiontune_trainer.domain.job import Progress
from visiontune_trainer.domain.lineage import Generation
from visiontune_trainer.domain.states import State

NAME = String(300)


class PlainText(TypeDecorator[str]):
    """Text of users and models, without the NUL characters that PostgreSQL refuses."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Drops them."""
        return None if value is None else value.replace("\0", "")


class Json(TypeDecorator[Any]):
    """A value as JSON text, NaN and infinity included, which PostgreSQL's own JSON refuses."""

    impl = Text
    cache_ok = True

    def __init__(self, dump: Callable[[Any], Any] = lambda value: value, load: Callable[[Any], Any] = dict):
        super().__init__()
        self.dump = dump
        self.load = load

    def process_bind_param(self, value: Any | None, dialect: Dialect) -> str | None:
        """Writes the value."""
        return None if value is None else json.dumps(self.dump(value), separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any | None:
        """Reads it back."""
        return None if value is None else self.load(json.loads(value))


class Named(TypeDecorator[Any]):
    """A value of an enum by its name."""

    impl = String(20)
    cache_ok = True

    def __init__(self, kind: Callable[[str], Any]) -> None:
        super().__init__()
        self.kind = kind

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any | None:
        """Reads it back."""
        return None if value is None else self.kind(value)


def _dump_files(files: tuple[StoredFile, ...]) -> list[dict[str, Any]]:
    return [asdict(file) for file in files]


def _dump_lineage(lineage: tuple[Generation, ...]) -> list[dict[str, Any]]:
    return [{**asdict(each), "base": _dump_base(each.base) if each.base else None} for each in lineage]


def _load_lineage(rows: list[dict[str, Any]]) -> tuple[Generation, ...]:
    return tuple(
        Generation(**{**row, "base": Base.model_validate(row["base"]) if row["base"] else None})
        for row in rows
    )


def _dump_base(base: Base) -> dict[str, Any]:
    return base.model_dump(mode="json", exclude_none=True)


def _load_files(rows: list[dict[str, Any]]) -> tuple[StoredFile, ...]:
    return tuple(StoredFile(**row) for row in rows)


STATE = Named(State)
FOLDER_STATE = Named(FolderState)
SPEC = Json(Spec.to_dict, Spec.model_validate)
BASE = Json(_dump_base, Base.model_validate)
PROGRESS = Json(asdict, lambda row: Progress(**row))
NUMBERS = Json(dict, dict)
FILES = Json(_dump_files, _load_files)
LINEAGE = Json(_dump_lineage, _load_lineage)

METADATA = MetaData(naming_convention=NAMING)

JOBS = Table(
    "jobs",
    METADATA,
    Column("name", NAME, primary_key=True),
    Column("project", String(63), nullable=False),
    Column("uid", String(63), nullable=False),
    Column("display_name", PlainText, nullable=False),
    Column("spec", SPEC, nullable=False),
    Column("resolved", SPEC, nullable=False),
    Column("spec_digest", String(80), nullable=False),
    Column("dataset_digest", String(80), nullable=False),
    Column("family", String(63), nullable=False),
    Column("total_steps", BigInteger, nullable=False),
    Column("traceparent", String(100), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("state", STATE, nullable=False, index=True),
    Column("reason", String(63), nullable=False),
    Column("message", PlainText, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("uncharged", Integer, nullable=False),
    Column("progress", PROGRESS, nullable=False),
    Column("metrics_before", NUMBERS, nullable=False),
    Column("metrics_after", NUMBERS, nullable=False),
    Column("parameter_count", BigInteger, nullable=False),
    Column("base_revision", String(100), nullable=False),
    Column("best_step", BigInteger),
    Column("cancel_requested_at", UtcDateTime),
    Column("pause_requested_at", UtcDateTime),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("next_attempt_at", UtcDateTime),
    Column("ran_s", Float, nullable=False),
    Column("change", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("log_lines", BigInteger, nullable=False),
    Index("ix_jobs_project_created_at", "project", "created_at"),
)

ATTEMPTS = Table(
    "attempts",
    METADATA,
    Column("job", NAME, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("worker_id", String(200), nullable=False),
    Column("claimed_at", UtcDateTime),
    Column("heartbeat_at", UtcDateTime),
    Column("acknowledged", BigInteger, nullable=False),
    Column("lines_before", BigInteger, nullable=False),
    Column("waiting", PlainText, nullable=False),
    Column("waiting_since", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("finished_state", STATE),
)

EVENTS = Table(
    "events",
    METADATA,
    Column("job", NAME, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("change", BigInteger, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("reason", String(63), nullable=False),
    Column("message", PlainText, nullable=False),
    Column("state", STATE, nullable=False),
    Column("attempt", Integer, nullable=False),
    Index("ix_events_job_change", "job", "change"),
)

METRICS = Table(
    "metrics",
    METADATA,
    Column("job", NAME, primary_key=True),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("epoch", Float, nullable=False),
    Column("values", NUMBERS, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("change", BigInteger, nullable=False),
    Index("ix_metrics_job_change", "job", "change"),
)

LOG_LINES = Table(
    "log_lines",
    METADATA,
    Column("job", NAME, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("level", PlainText, nullable=False),
    Column("message", PlainText, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("change", BigInteger, nullable=False),
    Index("ix_log_lines_job_change", "job", "change"),
)

SAMPLES = Table(
    "samples",
    METADATA,
    Column("job", NAME, primary_key=True),
    Column("example", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("prompt", PlainText, nullable=False),
    Column("expected", PlainText, nullable=False),
    Column("before", PlainText, nullable=False),
    Column("after", PlainText, nullable=False),
    Column("after_step", BigInteger, nullable=False),
)

SAMPLE_ANSWERS = Table(
    "sample_answers",
    METADATA,
    Column("job", NAME, primary_key=True),
    Column("example", Text, primary_key=True),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("text", PlainText, nullable=False),
)

# No foreign key to jobs: a deleted job's folders stay until their objects are gone.
FOLDERS = Table(
    "folders",
    METADATA,
    Column("job", NAME, primary_key=True),
    Column("path", String(100), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("state", FOLDER_STATE, nullable=False, index=True),
    Column("files", FILES, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("epoch", Float, nullable=False),
    Column("committed_at", UtcDateTime),
)

MODELS = Table(
    "models",
    METADATA,
    Column("name", NAME, primary_key=True),
    Column("project", String(63), nullable=False),
    Column("uid", String(63), nullable=False),
    Column("display_name", PlainText, nullable=False),
    Column("description", PlainText, nullable=False),
    Column("family", String(63), nullable=False),
    Column("training_job", NAME, nullable=False),
    Column("base_model", BASE, nullable=False),
    Column("is_adapter", Boolean, nullable=False),
    Column("parameter_count", BigInteger, nullable=False),
    Column("owner", String(400), nullable=False, index=True),
    Column("files", FILES, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("artifact", String(63), nullable=False),
    Column("lineage", LINEAGE, nullable=False),
    Index("ix_models_project_created_at", "project", "created_at"),
)

# No foreign key to jobs: what was used stays used when a job is deleted.
MACHINE_TIMES = Table(
    "machine_times",
    METADATA,
    Column("machine", String(100), primary_key=True),
    Column("project", String(63), nullable=False),
    Column("job", NAME, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("accelerator", String(63), nullable=False),
    Column("accelerator_count", Integer, nullable=False),
    Column("price_per_hour", Float),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("is_estimated", Boolean, nullable=False),
    Index("ix_machine_times_project_started_at", "project", "started_at"),
)

LEASES = Table(
    "leases",
    METADATA,
    Column("name", String(63), primary_key=True),
    Column("holder", String(200), nullable=False),
    Column("until", UtcDateTime, nullable=False),
)

REQUESTS = idempotency.table(METADATA)
