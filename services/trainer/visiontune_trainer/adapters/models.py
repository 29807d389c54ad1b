"""Registered models, on SQLAlchemy."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession
from visiontune_recipes.spec import Base

from visiontune_trainer.adapters import tables
from visiontune_trainer.adapters.rows import Rows, base_text, data_text, newest_first, newest_order, tells
from visiontune_trainer.domain.job import project_of
from visiontune_trainer.domain.models import Model, ModelFilter


class Models:
    """Implements `ports.Models`."""

    def __init__(self, session: AsyncSession) -> None:
        self._models = Rows(session, tables.MODELS, Model)
        self.add = self._models.add

    async def get(self, name: str) -> Model | None:
        """The model, or None."""
        return await self._models.one(tables.MODELS.c.name == name)

    async def lock(self, name: str) -> Model | None:
        """The model, held until the transaction ends."""
        return await self._models.one(tables.MODELS.c.name == name, lock=True)

    async def delete(self, name: str) -> None:
        """Forgets the model."""
        await self._models.remove(tables.MODELS.c.name == name)

    async def page(
        self, project: str, wanted: ModelFilter, after: tuple[datetime, str] | None, limit: int
    ) -> list[Model]:
        """Newest first, after the position."""
        columns = tables.MODELS.c
        conditions = newest_first(tables.MODELS, project, after)
        if wanted.family:
            conditions.append(columns.family == wanted.family)
        if wanted.dataset:
            conditions.append(tells(columns.lineage, data_text(wanted.dataset)))
        if wanted.base:
            conditions.append(tells(columns.lineage, base_text("base", wanted.base)))
        return await self._models.some(*conditions, order=newest_order(tables.MODELS), limit=limit)

    async def adapters_on(self, model: str, limit: int) -> list[str]:
        """Names of adapters on top of it."""
        columns = tables.MODELS.c
        on_it = [
            columns.project == project_of(model),
            columns.is_adapter,
            columns.base_model == Base(model=model),
        ]
        found = await self._models.some(*on_it, order=[columns.created_at, columns.name], limit=limit)
        return [each.name for each in found]

    async def made_of(self, owner: str) -> bool:
        """Tells whether a model's files belong to `owner`."""
        found = await self._models.some(tables.MODELS.c.owner == owner, order=[tables.MODELS.c.name], limit=1)
        return bool(found)
