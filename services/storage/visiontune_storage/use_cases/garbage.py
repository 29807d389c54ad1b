"""Deleting bytes that nobody names any more."""

import asyncio
from collections.abc import Sequence

from visiontune_kit import faults, logs

from visiontune_storage.domain.failures import ObjectStoreUnavailable
from visiontune_storage.domain.objects import Garbage
from visiontune_storage.ports import Deps

_AT_ONCE = 16

log = logs.get(__name__)


async def purge(garbage: Sequence[Garbage], deps: Deps) -> None:
    """Deletes the bytes now if it can; what fails stays for the sweep. Repeating it is harmless."""
    for start in range(0, len(garbage), _AT_ONCE):
        some = garbage[start : start + _AT_ONCE]
        outcomes = await asyncio.gather(*(_delete_bytes(each, deps) for each in some), return_exceptions=True)
        failure = next((each for each in outcomes if each is not None), None)
        if isinstance(failure, ObjectStoreUnavailable):
            log.warning("purge_postponed", left=len(garbage) - start, error=failure.message)
            return
        if failure is not None:
            raise failure
        faults.point("garbage.deleted")
        await _note_deleted(some, deps)


async def _delete_bytes(garbage: Garbage, deps: Deps) -> None:
    if garbage.from_upload:
        await deps.objects.purge_upload(garbage.key, garbage.store_upload_id)
    else:
        await deps.objects.purge_object(garbage.key)


async def _note_deleted(garbage: Sequence[Garbage], deps: Deps) -> None:
    now = deps.clock.now()
    async with deps.unit_of_work() as uow:
        for each in garbage:
            left = each.after_purge(now)
            await (uow.garbage.remove(each.key) if left is None else uow.garbage.postpone(left))
        await uow.commit()
