"""Alembic's way in."""

from alembic import context
from visiontune_dataset.adapters.tables import METADATA
from visiontune_kit import migrations

migrations.run(context, METADATA)  # type: ignore[arg-type]  # alembic's module is a proxy of it
