"""The best evaluation of a job, and what its model said at each of them."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("best_step", sa.BigInteger(), nullable=True))
    op.create_table(
        "sample_answers",
        sa.Column("job", sa.String(length=300), nullable=False),
        sa.Column("example", sa.Text(), nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job", "example", "step", name=op.f("pk_sample_answers")),
    )


def downgrade() -> None:
    op.drop_table("sample_answers")
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_column("best_step")
