"""Exports, and the objects of deleted versions that are still to go."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("read_until", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "exports",
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("dataset", sa.String(length=63), nullable=False),
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("format", sa.String(length=40), nullable=False),
        sa.Column("filename", sa.String(length=255), nullable=False),
        sa.Column("object", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("example_count", sa.BigInteger(), nullable=False),
        sa.Column("image_count", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "dataset"],
            ["datasets.project", "datasets.id"],
            name="fk_exports_project_dataset_datasets",
        ),
        sa.PrimaryKeyConstraint("project", "dataset", "id", name="pk_exports"),
    )
    op.create_index("ix_exports_expires_at", "exports", ["expires_at"])
    op.create_table(
        "leftovers",
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("dataset", sa.String(length=63), nullable=False),
        sa.Column("object", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("object", name="pk_leftovers"),
    )


def downgrade() -> None:
    op.drop_column("versions", "read_until")
    op.drop_table("leftovers")
    op.drop_index("ix_exports_expires_at", "exports")
    op.drop_table("exports")
