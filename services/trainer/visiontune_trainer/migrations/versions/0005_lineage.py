"""Which artifact a model is, and the trainings behind it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("models") as models:
        models.add_column(sa.Column("artifact", sa.String(length=63), nullable=False, server_default=""))
        models.add_column(sa.Column("lineage", sa.Text(), nullable=False, server_default="[]"))


def downgrade() -> None:
    with op.batch_alter_table("models") as models:
        models.drop_column("lineage")
        models.drop_column("artifact")
