"""The service's tables, the same on SQLite and PostgreSQL."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
)
from visiontune_kit import idempotency, operations
from visiontune_kit.database import NAMING, UtcDateTime

METADATA = MetaData(naming_convention=NAMING)

DATASETS = Table(
    "datasets",
    METADATA,
    Column("project", String(63), primary_key=True),
    Column("id", String(63), primary_key=True),
    Column("uid", String(63), nullable=False, unique=True),
    Column("display_name", String(120), nullable=False),
    Column("description", String(4000), nullable=False),
    Column("latest_version", Integer, nullable=False),
    Column("version_count", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("deleting", Boolean, nullable=False),
    Column("last_number", Integer, nullable=False, server_default="0"),
    Column("purge_at", UtcDateTime, nullable=True),  # with `deleting`: until then it can be brought back
    Index("ix_datasets_project_created_at_id", "project", "created_at", "id"),
)

VERSIONS = Table(
    "versions",
    METADATA,
    Column("project", String(63), primary_key=True),
    Column("dataset", String(63), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("digest", String(71), nullable=False),
    Column("manifest_sha256", String(64), nullable=False),
    Column("format", String(40), nullable=False),
    Column("kinds", Text, nullable=False),  # JSON list
    Column("example_count", BigInteger, nullable=False),
    Column("image_count", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("split_counts", Text, nullable=False),  # JSON object
    Column("report_id", String(80), nullable=False),
    Column("source_filename", String(255), nullable=False),
    Column("source_sha256", String(64), nullable=False),
    Column("owner", String(512), nullable=False),
    Column("row_splits", LargeBinary, nullable=False),  # zlib
    Column("statistics", LargeBinary, nullable=False),  # JSON, zlib
    Column("created_at", UtcDateTime, nullable=False),
    Column("parent", Integer, nullable=False, server_default="0"),
    Column("draft", String(80), nullable=False, server_default=""),
    Column("uploads", Text, nullable=False, server_default="[]"),  # JSON list
    Column("read_until", UtcDateTime, nullable=True),  # when the last signed URL stops working
    Column("purge_at", UtcDateTime, nullable=True),  # of a deleted one: until then it can be brought back
    ForeignKeyConstraint(["project", "dataset"], ["datasets.project", "datasets.id"]),
)

SHARDS = Table(
    "shards",
    METADATA,
    Column("project", String(63), primary_key=True),
    Column("dataset", String(63), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("row_count", BigInteger, nullable=False),
    Column("split_counts", Text, nullable=False),  # JSON object
    Column("examples_object", String(200), nullable=False),
    Column("examples_sha256", String(64), nullable=False),
    Column("examples_size_bytes", BigInteger, nullable=False),
    Column("preview_object", String(200), nullable=False),
    Column("preview_sha256", String(64), nullable=False),
    Column("preview_size_bytes", BigInteger, nullable=False),
    ForeignKeyConstraint(
        ["project", "dataset", "number"], ["versions.project", "versions.dataset", "versions.number"]
    ),
)

REPORTS = Table(
    "reports",
    METADATA,
    Column("project", String(63), primary_key=True),
    Column("dataset", String(63), primary_key=True),
    Column("id", String(80), primary_key=True),
    Column("content", LargeBinary, nullable=False),  # JSON, zlib
    Column("version", String(200), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("in_progress", Boolean, nullable=False, server_default=false()),
    ForeignKeyConstraint(["project", "dataset"], ["datasets.project", "datasets.id"]),
)

# All problems of a report, which itself keeps the first of each rule.
PROBLEMS = Table(
    "problems",
    METADATA,
    Column("project", String(63), primary_key=True),
    Column("dataset", String(63), primary_key=True),
    Column("report", String(80), primary_key=True),
    Column("page", Integer, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),  # JSON, zlib
    ForeignKeyConstraint(["project", "dataset"], ["datasets.project", "datasets.id"]),
)

DRAFTS = Table(
    "drafts",
    METADATA,
    Column("project", String(63), primary_key=True),
    Column("dataset", String(63), primary_key=True),
    Column("id", String(80), primary_key=True),
    Column("base", Integer, nullable=False),
    Column("edit_count", Integer, nullable=False),
    Column("last_number", Integer, nullable=False),
    Column("operation", String(400), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    ForeignKeyConstraint(["project", "dataset"], ["datasets.project", "datasets.id"]),
)

EDITS = Table(
    "edits",
    METADATA,
    Column("project", String(63), primary_key=True),
    Column("dataset", String(63), primary_key=True),
    Column("draft", String(80), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(20), nullable=False),
    Column("content", LargeBinary, nullable=False),  # JSON
    ForeignKeyConstraint(["project", "dataset", "draft"], ["drafts.project", "drafts.dataset", "drafts.id"]),
)

EXPORTS = Table(
    "exports",
    METADATA,
    Column("project", String(63), primary_key=True),
    Column("dataset", String(63), primary_key=True),
    Column("id", String(80), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("format", String(40), nullable=False),
    Column("filename", String(255), nullable=False),
    Column("object", String(200), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("example_count", BigInteger, nullable=False),
    Column("image_count", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    ForeignKeyConstraint(["project", "dataset"], ["datasets.project", "datasets.id"]),
)

# Objects of deleted versions that storage is still to delete.
LEFTOVERS = Table(
    "leftovers",
    METADATA,
    Column("project", String(63), nullable=False),
    Column("dataset", String(63), nullable=False),
    Column("object", String(200), primary_key=True),
)

REQUESTS = idempotency.table(METADATA)
OPERATIONS = operations.table(METADATA)
