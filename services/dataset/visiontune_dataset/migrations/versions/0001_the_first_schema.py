"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "datasets",
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("uid", sa.String(length=63), nullable=False),
        sa.Column("display_name", sa.String(length=120), nullable=False),
        sa.Column("description", sa.String(length=4000), nullable=False),
        sa.Column("latest_version", sa.Integer(), nullable=False),
        sa.Column("version_count", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("project", "id", name="pk_datasets"),
        sa.UniqueConstraint("uid", name="uq_datasets_uid"),
    )
    op.create_index("ix_datasets_project_created_at_id", "datasets", ["project", "created_at", "id"])

    op.create_table(
        "operations",
        sa.Column("name", sa.String(length=400), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=100), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("metadata", sa.LargeBinary(), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=True),
        sa.Column("error", sa.LargeBinary(), nullable=True),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("holder", sa.String(length=200), nullable=False),
        sa.Column("lease", sa.Integer(), nullable=False),
        sa.Column("beat", sa.Integer(), nullable=False),
        sa.Column("crash_count", sa.Integer(), nullable=False),
        sa.Column("failure_count", sa.Integer(), nullable=False),
        sa.Column("traceparent", sa.String(length=55), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_operations"),
    )
    op.create_index("ix_operations_project_operations_created_at", "operations", ["project", "created_at"])
    op.create_index("ix_operations_settled_operations_holder", "operations", ["settled", "holder"])

    op.create_table(
        "requests",
        sa.Column("principal", sa.String(length=200), nullable=False),
        sa.Column("method", sa.String(length=200), nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("principal", "method", "request_id", name="pk_requests"),
    )
    op.create_index("ix_requests_create_time", "requests", ["create_time"])

    op.create_table(
        "reports",
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("dataset", sa.String(length=63), nullable=False),
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "dataset"],
            ["datasets.project", "datasets.id"],
            name="fk_reports_project_dataset_datasets",
        ),
        sa.PrimaryKeyConstraint("project", "dataset", "id", name="pk_reports"),
    )
    op.create_table(
        "versions",
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("dataset", sa.String(length=63), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("manifest_sha256", sa.String(length=64), nullable=False),
        sa.Column("format", sa.String(length=40), nullable=False),
        sa.Column("kinds", sa.Text(), nullable=False),
        sa.Column("example_count", sa.BigInteger(), nullable=False),
        sa.Column("image_count", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("split_counts", sa.Text(), nullable=False),
        sa.Column("report_id", sa.String(length=80), nullable=False),
        sa.Column("source_filename", sa.String(length=255), nullable=False),
        sa.Column("source_sha256", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=512), nullable=False),
        sa.Column("row_splits", sa.LargeBinary(), nullable=False),
        sa.Column("statistics", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "dataset"],
            ["datasets.project", "datasets.id"],
            name="fk_versions_project_dataset_datasets",
        ),
        sa.PrimaryKeyConstraint("project", "dataset", "number", name="pk_versions"),
    )
    op.create_table(
        "shards",
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("dataset", sa.String(length=63), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("split_counts", sa.Text(), nullable=False),
        sa.Column("examples_object", sa.String(length=200), nullable=False),
        sa.Column("examples_sha256", sa.String(length=64), nullable=False),
        sa.Column("examples_size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("preview_object", sa.String(length=200), nullable=False),
        sa.Column("preview_sha256", sa.String(length=64), nullable=False),
        sa.Column("preview_size_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "dataset", "number"],
            ["versions.project", "versions.dataset", "versions.number"],
            name="fk_shards_project_dataset_number_versions",
        ),
        sa.PrimaryKeyConstraint("project", "dataset", "number", "index", name="pk_shards"),
    )


def downgrade() -> None:
    op.drop_table("shards")
    op.drop_table("versions")
    op.drop_table("reports")
    op.drop_index("ix_requests_create_time", "requests")

    op.drop_table("requests")
    op.drop_index("ix_operations_settled_operations_holder", "operations")
    op.drop_index("ix_operations_project_operations_created_at", "operations")

    op.drop_table("operations")
    op.drop_index("ix_datasets_project_created_at_id", "datasets")

    op.drop_table("datasets")
