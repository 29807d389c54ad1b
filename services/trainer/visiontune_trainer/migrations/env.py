"""Alembic's way in."""

from alembic import context
from visiontune_kit import migrations
from visiontune_trainer.adapters.tables import METADATA

migrations.run(context, METADATA)  # type: ignore[arg-type]  # alembic's module is a proxy of it
