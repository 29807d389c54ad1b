"""Drafts, and what a version was made of."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Defaults in the database, so that a replica of the release before can still write.
    op.add_column("datasets", sa.Column("last_number", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE datasets SET last_number = latest_version")
    op.add_column("versions", sa.Column("parent", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("versions", sa.Column("draft", sa.String(length=80), nullable=False, server_default=""))
    op.add_column("versions", sa.Column("uploads", sa.Text(), nullable=False, server_default="[]"))
    op.create_table(
        "drafts",
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("dataset", sa.String(length=63), nullable=False),
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("base", sa.Integer(), nullable=False),
        sa.Column("edit_count", sa.Integer(), nullable=False),
        sa.Column("last_number", sa.Integer(), nullable=False),
        sa.Column("operation", sa.String(length=400), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "dataset"],
            ["datasets.project", "datasets.id"],
            name="fk_drafts_project_dataset_datasets",
        ),
        sa.PrimaryKeyConstraint("project", "dataset", "id", name="pk_drafts"),
    )
    op.create_index("ix_drafts_expires_at", "drafts", ["expires_at"])
    op.create_table(
        "edits",
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("dataset", sa.String(length=63), nullable=False),
        sa.Column("draft", sa.String(length=80), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "dataset", "draft"],
            ["drafts.project", "drafts.dataset", "drafts.id"],
            name="fk_edits_project_dataset_draft_drafts",
        ),
        sa.PrimaryKeyConstraint("project", "dataset", "draft", "number", name="pk_edits"),
    )


def downgrade() -> None:
    op.drop_table("edits")
    op.drop_index("ix_drafts_expires_at", "drafts")
    op.drop_table("drafts")
    for column in ("uploads", "draft", "parent"):
        op.drop_column("versions", column)
    op.drop_column("datasets", "last_number")
