"""What projects keep, hour by hour."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "usage_samples",
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("object_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project", "hour", "kind", name="pk_usage_samples"),
    )
    op.create_index("ix_usage_samples_hour", "usage_samples", ["hour"])


def downgrade() -> None:
    op.drop_table("usage_samples")
