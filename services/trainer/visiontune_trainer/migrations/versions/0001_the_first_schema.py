"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attempts",
        sa.Column("job", sa.String(length=300), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("worker_id", sa.String(length=200), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_state", sa.String(length=20), nullable=True),
        sa.PrimaryKeyConstraint("job", "number", name="pk_attempts"),
        sa.UniqueConstraint("token_hash", name="uq_attempts_token_hash"),
    )
    op.create_table(
        "events",
        sa.Column("job", sa.String(length=300), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(length=63), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("job", "sequence", name="pk_events"),
    )
    op.create_index("ix_events_job_change", "events", ["job", "change"], unique=False)
    op.create_table(
        "folders",
        sa.Column("job", sa.String(length=300), nullable=False),
        sa.Column("path", sa.String(length=100), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("files", sa.Text(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Float(), nullable=False),
        sa.Column("committed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("job", "path", "attempt", name="pk_folders"),
    )
    op.create_index("ix_folders_state", "folders", ["state"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("uid", sa.String(length=63), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("resolved", sa.Text(), nullable=False),
        sa.Column("spec_digest", sa.String(length=80), nullable=False),
        sa.Column("dataset_digest", sa.String(length=80), nullable=False),
        sa.Column("family", sa.String(length=63), nullable=False),
        sa.Column("total_steps", sa.BigInteger(), nullable=False),
        sa.Column("traceparent", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=63), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("progress", sa.Text(), nullable=False),
        sa.Column("metrics_before", sa.Text(), nullable=False),
        sa.Column("metrics_after", sa.Text(), nullable=False),
        sa.Column("parameter_count", sa.BigInteger(), nullable=False),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ran_s", sa.Float(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("log_lines", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_jobs"),
    )
    op.create_index("ix_jobs_project_created_at", "jobs", ["project", "created_at"], unique=False)
    op.create_index("ix_jobs_state", "jobs", ["state"], unique=False)
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("holder", sa.String(length=200), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "log_lines",
        sa.Column("job", sa.String(length=300), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("job", "sequence", name="pk_log_lines"),
    )
    op.create_index("ix_log_lines_job_change", "log_lines", ["job", "change"], unique=False)
    op.create_table(
        "metrics",
        sa.Column("job", sa.String(length=300), nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Float(), nullable=False),
        sa.Column("values", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("job", "step", name="pk_metrics"),
    )
    op.create_index("ix_metrics_job_change", "metrics", ["job", "change"], unique=False)
    op.create_table(
        "models",
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("uid", sa.String(length=63), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("family", sa.String(length=63), nullable=False),
        sa.Column("training_job", sa.String(length=300), nullable=False),
        sa.Column("base_model", sa.Text(), nullable=False),
        sa.Column("is_adapter", sa.Boolean(), nullable=False),
        sa.Column("parameter_count", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(length=400), nullable=False),
        sa.Column("files", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_models"),
    )
    op.create_index("ix_models_owner", "models", ["owner"], unique=False)
    op.create_index("ix_models_project_created_at", "models", ["project", "created_at"], unique=False)
    op.create_table(
        "requests",
        sa.Column("principal", sa.String(length=200), nullable=False),
        sa.Column("method", sa.String(length=200), nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("principal", "method", "request_id", name="pk_requests"),
    )
    op.create_index("ix_requests_create_time", "requests", ["create_time"], unique=False)
    op.create_table(
        "samples",
        sa.Column("job", sa.String(length=300), nullable=False),
        sa.Column("example", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("expected", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("after_step", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("job", "example", name="pk_samples"),
    )


def downgrade() -> None:
    op.drop_table("samples")
    op.drop_table("requests")
    op.drop_table("models")
    op.drop_table("metrics")
    op.drop_table("log_lines")
    op.drop_table("leases")
    op.drop_table("jobs")
    op.drop_table("folders")
    op.drop_table("events")
    op.drop_table("attempts")
