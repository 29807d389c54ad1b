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
    """Deletes the bytes now if it can; what fails stays for the sweep. Repeating it is harmless.

    What the store refuses to delete waits, and holds up nothing else; a store that is away ends the round.
    """
    for start in range(0, len(garbage), _AT_ONCE):
        some = garbage[start : start + _AT_ONCE]
        failures = await asyncio.gather(*(_delete_bytes(each, deps) for each in some))
        faults.point("garbage.deleted")
        await _note(some, failures, deps)
        away = next((each for each in failures if each is not None and not each.answered), None)
        if away is not None:
            log.warning("purge_postponed", left=len(garbage) - start, error=away.message)
            return


async def _delete_bytes(garbage: Garbage, deps: Deps) -> ObjectStoreUnavailable | None:
    """Returns what went wrong, if anything did."""
    try:
        if garbage.from_upload:
            await deps.objects.purge_upload(garbage.key, garbage.store_upload_id)
        else:
            await deps.objects.purge_object(garbage.key)
    except ObjectStoreUnavailable as failure:
        return failure
    return None


async def _note(
    garbage: Sequence[Garbage], failures: Sequence[ObjectStoreUnavailable | None], deps: Deps
) -> None:
    """Writes down what is left to do of each; nothing changes for those whose store did not answer."""
    now = deps.clock.now()
    async with deps.unit_of_work() as uow:
        for each, failure in zip(garbage, failures, strict=True):
            left = each.after_purge(now) if failure is None else each.after_refusal(now)
            if left is None:
                await uow.garbage.remove(each.key)
            elif failure is None or failure.answered:
                await uow.garbage.postpone(left)
            if failure is not None and failure.answered:
                log.warning("purge_refused", key=each.key, error=failure.message)
        await uow.commit()
