"""Accelerator hours."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "machine_times",
        sa.Column("machine", sa.String(length=100), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("job", sa.String(length=300), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("accelerator", sa.String(length=63), nullable=False),
        sa.Column("accelerator_count", sa.Integer(), nullable=False),
        sa.Column("price_per_hour", sa.Float(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("is_estimated", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("machine", name="pk_machine_times"),
    )
    op.create_index(
        "ix_machine_times_project_started_at", "machine_times", ["project", "started_at"], unique=False
    )


def downgrade() -> None:
    op.drop_table("machine_times")
