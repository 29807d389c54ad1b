"""Keeps the log of an attempt that has ended as one object in storage. Safe to repeat, by any replica.

Its folder's row is written in the transaction that ends the attempt, so that no log is forgotten.
"""

import asyncio
from dataclasses import replace

from visiontune_kit import faults, logs
from visiontune_kit.errors import Failure, InvalidArgument, ResourceExhausted

from visiontune_trainer.domain.folders import Folder, FolderState, StoredFile
from visiontune_trainer.domain.log_text import LogText
from visiontune_trainer.domain.reasons import Reason
from visiontune_trainer.use_cases import files
from visiontune_trainer.use_cases.deps import LOG_KEEPER, Deps
from visiontune_trainer.use_cases.lifecycle import doom

_INTERVAL_S = 5.0
_AT_ONCE = 20
_PAGE = 1_000

log = logs.get(__name__)


async def run(deps: Deps) -> None:
    """Keeps logs until cancelled; storage that is away is asked again later."""
    while True:
        try:
            await keep_all(deps)
        except Failure as failure:
            log.warning("log_keeping_postponed", reason=failure.reason, error=failure.message)
            await asyncio.sleep(_INTERVAL_S)
        await deps.wakeups.wait(LOG_KEEPER, _INTERVAL_S)


async def keep_all(deps: Deps) -> None:
    """Keeps the logs of all attempts that have ended since the last time."""
    while True:
        async with deps.unit_of_work() as uow:
            due = await uow.folders.logs_to_keep(_AT_ONCE)
        for folder in due:
            await _keep(folder, deps)
        if len(due) < _AT_ONCE:
            return


async def _keep(folder: Folder, deps: Deps) -> None:
    text = await _text_of(folder, deps)
    if not text:
        async with deps.unit_of_work() as uow:
            await uow.folders.delete(folder)
            await uow.commit()
        return
    path = f"{folder.path.rpartition('/')[2]}.log"
    try:
        stored = await deps.storage.put(folder, path, text)
    except (ResourceExhausted, InvalidArgument) as refusal:
        await _give_up(folder, refusal, deps)
        return
    faults.point("log.before_commit")
    file = StoredFile(path, stored.object, stored.size_bytes, stored.sha256)
    kept = replace(folder, state=FolderState.COMMITTED, files=(file,), committed_at=deps.clock.now())
    async with deps.unit_of_work() as uow:
        job = await uow.jobs.lock(folder.job)
        if job is not None:
            await uow.folders.save(kept)
            await uow.commit()
    if job is None:  # Deleted in the meantime.
        await files.abandon([kept], deps)


async def _text_of(folder: Folder, deps: Deps) -> bytes:
    text, after = LogText(), 0
    while True:
        async with deps.unit_of_work() as uow:
            lines = await uow.records.log_lines_of_attempt(folder.job, folder.attempt, after, _PAGE)
        for line in lines:
            text.add(line)
        if len(lines) < _PAGE:
            return text.encoded()
        after = lines[-1].sequence


async def _give_up(folder: Folder, refusal: Failure, deps: Deps) -> None:
    """Says why storage does not take the log; its lines stay in the database."""
    now = deps.clock.now()
    async with deps.unit_of_work() as uow:
        job = await uow.jobs.lock(folder.job)
        if job is not None:
            message = f"The log of attempt {folder.attempt} is not kept as a file: {refusal.message}"
            job, event = job.noted(Reason.LOG_NOT_KEPT, message, now)
            await uow.jobs.save(job)
            await uow.records.add_event(event)
            await doom(uow, [folder])
        await uow.commit()
    deps.wakeups.notify(folder.job)
