"""Every problem of a report, and reports of imports that still run."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A default in the database, so that a replica of the release before can still write.
    op.add_column(
        "reports", sa.Column("in_progress", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_table(
        "problems",
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("dataset", sa.String(length=63), nullable=False),
        sa.Column("report", sa.String(length=80), nullable=False),
        sa.Column("page", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "dataset"],
            ["datasets.project", "datasets.id"],
            name="fk_problems_project_dataset_datasets",
        ),
        sa.PrimaryKeyConstraint("project", "dataset", "report", "page", name="pk_problems"),
    )


def downgrade() -> None:
    op.drop_table("problems")
    op.drop_column("reports", "in_progress")
