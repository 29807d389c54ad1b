"""The gateway's tables, the same on SQLite and PostgreSQL."""

from sqlalchemy import Column, Index, Integer, MetaData, String, Table
from visiontune_kit.database import NAMING, UtcDateTime

METADATA = MetaData(naming_convention=NAMING)

API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("id", String(63), primary_key=True),
    Column("project", String(63), nullable=False),
    Column("display_name", String(120), nullable=False),
    Column("role", Integer, nullable=False),
    Column("secret_sha256", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_api_keys_project_created_at_id", "project", "created_at", "id"),
)
