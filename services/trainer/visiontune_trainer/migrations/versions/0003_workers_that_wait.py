"""Workers that wait for a machine, and attempts that do not count."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("uncharged", sa.Integer(), nullable=False, server_default="0"))
    with op.batch_alter_table("attempts") as attempts:
        attempts.add_column(sa.Column("waiting", sa.Text(), nullable=False, server_default=""))
        attempts.add_column(sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("attempts") as attempts:
        attempts.drop_column("waiting_since")
        attempts.drop_column("waiting")
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_column("uncharged")
