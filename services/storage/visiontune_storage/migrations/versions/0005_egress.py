"""What the object store sent, hour by hour."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "egress_hours",
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_bytes", sa.BigInteger(), nullable=False),
        sa.Column("own_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", name="pk_egress_hours"),
    )
    op.create_table(
        "egress_counters",
        sa.Column("page", sa.String(length=2048), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("page", name="pk_egress_counters"),
    )


def downgrade() -> None:
    op.drop_table("egress_counters")
    op.drop_table("egress_hours")
