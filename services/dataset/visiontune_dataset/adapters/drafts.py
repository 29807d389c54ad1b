"""The repository of drafts and their edits; each statement runs in the unit of work's transaction."""

# ruff: noqa: D102 - ports.py states what each method promises

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, cast

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncSession
from visiontune_data.edits import Add, Delete, Edit, SetSplit, SetTags, SetText

from visiontune_dataset.adapters.tables import DRAFTS, EDITS
from visiontune_dataset.domain.datasets import Version
from visiontune_dataset.domain.drafts import Draft
from visiontune_dataset.domain.failures import DraftNotFound, StaleEtag

_KINDS: dict[str, TypeAdapter[Any]] = {
    kind.__name__: TypeAdapter(kind) for kind in (SetText, SetSplit, SetTags, Delete, Add)
}


class Drafts:
    """See ports.database.Drafts."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, draft: Draft) -> None:
        await self._session.execute(insert(DRAFTS).values(asdict(draft)))

    async def get(self, project: str, dataset_id: str, draft_id: str, *, lock: bool = False) -> Draft:
        query = select(DRAFTS).where(_in(project, dataset_id), DRAFTS.c.id == draft_id)
        if lock:
            query = query.with_for_update()  # SQLite has locked the whole database by then
        row = (await self._session.execute(query)).mappings().first()
        if row is None:
            raise DraftNotFound(f"projects/{project}/datasets/{dataset_id}/drafts/{draft_id}")
        return Draft(**row)

    async def save(self, draft: Draft) -> None:
        changed = await self._session.execute(
            update(DRAFTS).where(_is(draft), DRAFTS.c.revision == draft.revision - 1).values(asdict(draft))
        )
        if cast("CursorResult[Any]", changed).rowcount == 0:
            raise StaleEtag(draft.name)

    async def page(
        self, project: str, dataset_id: str, after: tuple[datetime, str] | None, limit: int
    ) -> list[Draft]:
        columns = DRAFTS.c
        query = select(DRAFTS).where(_in(project, dataset_id))
        if after:
            at, last_id = after
            older = or_(columns.created_at < at, and_(columns.created_at == at, columns.id < last_id))
            query = query.where(older)
        query = query.order_by(columns.created_at.desc(), columns.id.desc()).limit(limit)
        return [Draft(**row) for row in (await self._session.execute(query)).mappings()]

    async def count(self, project: str, dataset_id: str) -> int:
        query = select(func.count()).select_from(DRAFTS).where(_in(project, dataset_id))
        return (await self._session.execute(query)).scalar_one()

    async def on(self, version: Version) -> list[Draft]:
        query = select(DRAFTS).where(_in(version.project, version.dataset), DRAFTS.c.base == version.number)
        return [Draft(**row) for row in (await self._session.execute(query)).mappings()]

    async def expired(self, now: datetime) -> list[Draft]:
        query = select(DRAFTS).where(DRAFTS.c.expires_at < now, DRAFTS.c.operation == "")
        return [Draft(**row) for row in (await self._session.execute(query)).mappings()]

    async def remove(self, draft: Draft) -> None:
        await self._session.execute(delete(EDITS).where(_of(draft)))
        await self._session.execute(delete(DRAFTS).where(_is(draft)))

    async def add_edits(self, draft: Draft, numbered: Sequence[tuple[int, Edit]]) -> None:
        rows = [
            {
                "project": draft.project,
                "dataset": draft.dataset,
                "draft": draft.id,
                "number": number,
                "kind": type(edit).__name__,
                "content": _KINDS[type(edit).__name__].dump_json(edit),
            }
            for number, edit in numbered
        ]
        await self._session.execute(insert(EDITS), rows)

    async def edits(self, draft: Draft, above: int = 0, limit: int | None = None) -> list[tuple[int, Edit]]:
        query = select(EDITS).where(_of(draft), EDITS.c.number > above).order_by(EDITS.c.number).limit(limit)
        rows = (await self._session.execute(query)).mappings()
        return [(row["number"], _KINDS[row["kind"]].validate_json(row["content"])) for row in rows]

    async def remove_edits(self, draft: Draft, numbers: Collection[int]) -> None:
        await self._session.execute(delete(EDITS).where(_of(draft), EDITS.c.number.in_(list(numbers))))


def _in(project: str, dataset_id: str) -> ColumnElement[bool]:
    return and_(DRAFTS.c.project == project, DRAFTS.c.dataset == dataset_id)


def _is(draft: Draft) -> ColumnElement[bool]:
    return and_(_in(draft.project, draft.dataset), DRAFTS.c.id == draft.id)


def _of(draft: Draft) -> ColumnElement[bool]:
    return and_(EDITS.c.project == draft.project, EDITS.c.dataset == draft.dataset, EDITS.c.draft == draft.id)
