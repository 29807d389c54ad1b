"""Counting what the object store sends, and telling it."""

from datetime import datetime

from visiontune_kit import logs

from visiontune_storage.domain.egress import Egress, EgressHour, egress_of, grown
from visiontune_storage.domain.failures import EgressNotCounted
from visiontune_storage.domain.usage import KEEP, hour_of, span_of
from visiontune_storage.ports import Deps

log = logs.get(__name__)


async def count(deps: Deps) -> None:
    """Adds what the store's counters rose by since they were read last.

    Any number of replicas may count at once: of two that read a counter, the one that notes it first counts.
    A page that does not answer is logged, and what was sent meanwhile is counted once it does.
    """
    if not deps.rules.metrics_pages:
        return
    async with deps.unit_of_work() as uow:
        before = await uow.egress.counters()
    now = {page: await deps.metrics.sent_bytes(page) for page in deps.rules.metrics_pages}
    own_bytes = deps.objects.take_read_bytes()
    at = deps.clock.now()
    sent_bytes = 0
    async with deps.unit_of_work() as uow:
        for page, value in now.items():
            if value is None:
                log.warning("object_store_metrics_unreadable", page=page)
            elif await uow.egress.move(page, before.get(page), value):
                sent_bytes += grown(before.get(page), value)
        if sent_bytes or own_bytes:
            await uow.egress.add(EgressHour(hour_of(at), sent_bytes, own_bytes))
        await uow.egress.forget(before=at - KEEP)
        await uow.commit()


async def get_egress(start: datetime | None, end: datetime | None, deps: Deps) -> Egress:
    """Returns what was sent within the span. Raises EgressNotCounted, SpanBackwards."""
    if not deps.rules.metrics_pages:
        raise EgressNotCounted
    start, end = span_of(start, end, deps.clock.now())
    async with deps.unit_of_work() as uow:
        hours = await uow.egress.between(hour_of(start), end)
    return egress_of(hours, deps.rules.price_per_gib_egress)
