"""Limits on objects, uploads, datasets and images; alerts."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LIMITS = ("limit_objects", "limit_pending_uploads", "limit_datasets", "limit_images")


def upgrade() -> None:
    with op.batch_alter_table("quotas") as quotas:
        for limit in LIMITS:
            quotas.add_column(sa.Column(limit, sa.BigInteger(), nullable=True))
        quotas.add_column(sa.Column("alerted", sa.JSON(), nullable=True))
    op.create_table(
        "quota_alerts",
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("limit", sa.String(length=16), nullable=False),
        sa.Column("percent", sa.Integer(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("limit_value", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("project", "id", name="pk_quota_alerts"),
    )
    op.create_index("ix_quota_alerts_created_at", "quota_alerts", ["created_at"])


def downgrade() -> None:
    op.drop_table("quota_alerts")
    with op.batch_alter_table("quotas") as quotas:
        for column in (*LIMITS, "alerted"):
            quotas.drop_column(column)
