"""Values of the domain as rows of a table: they have the same fields."""

import json
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Table,
    Text,
    delete,
    func,
    insert,
    literal,
    select,
    tuple_,
    type_coerce,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from visiontune_kit.errors import Aborted
from visiontune_recipes.spec import Base

T = TypeVar("T")


class LostRace(Aborted):
    """Another call made the same row first."""

    def __init__(self) -> None:
        super().__init__("Another call did the same at the same time. Try again.")


class Rows(Generic[T]):
    """Values of one type in one table."""

    def __init__(self, session: AsyncSession, table: Table, kind: type[T]) -> None:
        self._session = session
        self._table = table
        self._kind = kind
        self._fields = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # T is a dataclass

    async def one(self, *conditions: Any, lock: bool = False) -> T | None:
        """The only row that meets the conditions, or None."""
        statement = select(self._table).where(*conditions)
        row = (await self._session.execute(statement.with_for_update() if lock else statement)).one_or_none()
        return None if row is None else self._kind(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name

    async def some(self, *conditions: Any, order: Sequence[Any], limit: int | None = None) -> list[T]:
        """Rows that meet the conditions."""
        statement = select(self._table).where(*conditions).order_by(*order).limit(limit)
        rows = (await self._session.execute(statement)).all()
        return [self._kind(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name

    async def add(self, *values: T) -> None:
        """Adds rows. Raises LostRace when one is there already."""
        if not values:
            return
        try:
            await self._session.execute(insert(self._table), [self._columns(value) for value in values])
        except IntegrityError as error:
            raise LostRace from error

    async def save(self, value: T) -> None:
        """Replaces the row of the same key."""
        await self._session.execute(update(self._table).where(*self._key(value)).values(self._columns(value)))

    async def put(self, value: T) -> None:
        """Adds the row, or replaces the one of the same key."""
        await self.remove(*self._key(value))
        await self.add(value)

    async def remove(self, *conditions: Any) -> None:
        """Deletes rows that meet the conditions."""
        await self._session.execute(delete(self._table).where(*conditions))

    def _columns(self, value: T) -> dict[str, Any]:
        return {name: getattr(value, name) for name in self._fields}

    def _key(self, value: T) -> list[Any]:
        return [column == getattr(value, column.name) for column in self._table.primary_key]


# Columns of JSON are searched as the text that they are. No text of a user's can look like a field, since its
# quotes are escaped.


def tells(column: Column[Any], text: str) -> ColumnElement[bool]:
    """Whether a column of JSON has this text. LIKE would not tell small letters from capitals on SQLite."""
    written = type_coerce(column, Text)
    return func.replace(written, text, "") != written


def data_text(dataset: str) -> str:
    """How a version, or any version of a dataset, is written."""
    is_version = dataset.count("/") > 3
    start = json.dumps(dataset if is_version else f"{dataset}/versions/")
    return f'"dataset_version":{start if is_version else start[:-1]}'


def base_text(field: str, base: Base) -> str:
    """How a base is written; a Hub repository at any revision."""
    told = {"hub": {"repo_id": base.hub.repo_id}} if base.hub else base.model_dump(exclude_none=True)
    return f'"{field}":{json.dumps(told, separators=(",", ":"))}'.rstrip("}")


def newest_first(table: Table, project: str, after: tuple[datetime, str] | None) -> list[Any]:
    """Conditions on the rows of a project, after a position (created_at, name)."""
    conditions = [table.c.project == project]
    if after is not None:
        conditions.append(tuple_(table.c.created_at, table.c.name) < tuple_(*map(literal, after)))
    return conditions


def newest_order(table: Table) -> list[Any]:
    """The order of such rows."""
    return [table.c.created_at.desc(), table.c.name.desc()]
