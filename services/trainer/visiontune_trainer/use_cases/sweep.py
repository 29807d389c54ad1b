"""Deletes the objects of folders that nothing needs any more. Safe to repeat, by any replica."""

import asyncio

from visiontune_kit import faults, logs
from visiontune_kit.errors import Failure

from visiontune_trainer.use_cases.deps import SWEEPER, Deps

_INTERVAL_S = 5.0
_AT_ONCE = 20

log = logs.get(__name__)


async def run(deps: Deps) -> None:
    """Sweeps until cancelled; storage that is away is asked again later."""
    while True:
        try:
            await sweep(deps)
        except Failure as failure:
            log.warning("sweep_postponed", reason=failure.reason, error=failure.message)
            await asyncio.sleep(_INTERVAL_S)
        await deps.wakeups.wait(SWEEPER, _INTERVAL_S)


async def sweep(deps: Deps) -> None:
    """Deletes all that is doomed now: the objects first, then the row that remembers them."""
    while True:
        async with deps.unit_of_work() as uow:
            doomed = await uow.folders.doomed(_AT_ONCE)
            needed = {folder.owner for folder in doomed if await uow.models.made_of(folder.owner)}
        for folder in doomed:
            if folder.owner not in needed:
                await deps.storage.delete_owned(folder.owner)
            faults.point("sweep.before_commit")
            async with deps.unit_of_work() as uow:
                await uow.folders.delete(folder)
                await uow.commit()
        if len(doomed) < _AT_ONCE:
            return
