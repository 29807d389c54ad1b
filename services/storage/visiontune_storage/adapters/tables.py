"""The service's tables, the same on SQLite and PostgreSQL."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table
from visiontune_kit import idempotency, operations
from visiontune_kit.database import NAMING, UtcDateTime

METADATA = MetaData(naming_convention=NAMING)

# Owners are found by prefix, as a range of byte order: exact in case, and served by the index.
OWNER = String(512).with_variant(String(512, collation="C"), "postgresql")

# Compared with the bucket's own order, which is that of bytes.
KEY = String(255).with_variant(String(255, collation="C"), "postgresql")

UPLOADS = Table(
    "uploads",
    METADATA,
    Column("project", String(63), primary_key=True),
    Column("id", String(63), primary_key=True),
    Column("filename", String(255), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("content_type", String(127), nullable=False),
    Column("owner", OWNER, nullable=False),
    Column("key", String(255), nullable=False, unique=True),
    Column("part_size_bytes", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("state", String(16), nullable=False),
    Column("store_upload_id", String(1024), nullable=False),
    Column("version", Integer, nullable=False),
    Index("ix_uploads_state_expires_at", "state", "expires_at"),
    Index("ix_uploads_project_state_owner", "project", "state", "owner"),
)

OBJECTS = Table(
    "objects",
    METADATA,
    Column("project", String(63), primary_key=True),
    Column("id", String(63), primary_key=True),
    Column("filename", String(255), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("content_type", String(127), nullable=False),
    Column("owner", OWNER, nullable=False),
    Column("key", KEY, nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("purge_at", UtcDateTime, nullable=True, index=True),
    Index("ix_objects_project_created_at_id", "project", "created_at", "id"),
    Index("ix_objects_project_owner", "project", "owner"),
)

QUOTAS = Table(
    "quotas",
    METADATA,
    Column("project", String(63), primary_key=True),
    Column("limit_bytes", BigInteger, nullable=True),  # NULL: the operator's default
    Column("used_bytes", BigInteger, nullable=False),
    Column("reserved_bytes", BigInteger, nullable=False),
    Column("object_count", BigInteger, nullable=False),
    Column("limits_version", Integer, nullable=False),
    # NULL: the operator's default; of the last two, the dataset service's.
    Column("limit_objects", BigInteger, nullable=True),
    Column("limit_pending_uploads", BigInteger, nullable=True),
    Column("limit_datasets", BigInteger, nullable=True),
    Column("limit_images", BigInteger, nullable=True),
    Column("alerted", JSON, nullable=True),
)

SAMPLES = Table(
    "usage_samples",
    METADATA,
    Column("project", String(63), primary_key=True),
    Column("hour", UtcDateTime, primary_key=True, index=True),
    Column("kind", String(16), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("object_count", BigInteger, nullable=False),
)

# What the object store sent, and what of it went to this program.
EGRESS = Table(
    "egress_hours",
    METADATA,
    Column("hour", UtcDateTime, primary_key=True),
    Column("sent_bytes", BigInteger, nullable=False),
    Column("own_bytes", BigInteger, nullable=False),
)

# What its counters said last, by the page that shows them.
COUNTERS = Table(
    "egress_counters",
    METADATA,
    Column("page", String(2048), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

ALERTS = Table(
    "quota_alerts",
    METADATA,
    Column("project", String(63), primary_key=True),
    Column("id", String(63), primary_key=True),
    Column("limit", String(16), nullable=False),
    Column("percent", Integer, nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("limit_value", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, index=True),
)

GARBAGE = Table(
    "garbage",
    METADATA,
    Column("key", String(255), primary_key=True),
    Column("from_upload", Boolean, nullable=False),
    Column("store_upload_id", String(1024), nullable=False),
    Column("due_at", UtcDateTime, nullable=False, index=True),
    Column("keep_until", UtcDateTime, nullable=False),
)

idempotency.table(METADATA)
operations.table(METADATA)
