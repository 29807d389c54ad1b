"""Deletions that can be undone; operations, for collecting garbage."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("objects") as objects:
        objects.add_column(sa.Column("purge_at", sa.DateTime(timezone=True), nullable=True))
        objects.create_index("ix_objects_purge_at", ["purge_at"])
    if op.get_bind().dialect.name == "postgresql":  # SQLite compares bytes anyway
        op.alter_column("objects", "key", type_=sa.String(255, collation="C"))
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


def downgrade() -> None:
    op.drop_table("operations")
    with op.batch_alter_table("objects") as objects:
        objects.drop_index("ix_objects_purge_at")
        objects.drop_column("purge_at")
