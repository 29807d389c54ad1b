"""Counting what projects keep, and telling it."""

from datetime import datetime

from visiontune_storage.domain.usage import KEEP, Usage, hour_of, span_of, usage_of
from visiontune_storage.ports import Deps


async def sample(deps: Deps) -> None:
    """Writes what every project keeps, once an hour however many replicas ask."""
    now = deps.clock.now()
    async with deps.unit_of_work() as uow:
        await uow.usages.sample(hour_of(now))
        await uow.usages.forget(before=now - KEEP)
        await uow.commit()


async def get_usage(project: str, start: datetime | None, end: datetime | None, deps: Deps) -> Usage:
    """Returns what a project keeps now, and kept within the span. Raises SpanBackwards."""
    start, end = span_of(start, end, deps.clock.now())
    async with deps.unit_of_work() as uow:
        kept = await uow.usages.kept(project)
        samples = await uow.usages.between(project, start, end)
    return usage_of(kept, samples, deps.rules.price_per_gib_month)
