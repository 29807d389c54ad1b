"""Datasets and versions that are deleted can be brought back for a while."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("datasets", "versions"):
        op.add_column(table, sa.Column("purge_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for table in ("datasets", "versions"):
        op.drop_column(table, "purge_at")
