"""What time does on its own: ends uploads nobody completed, finishes deletions that were cut short."""

from datetime import timedelta

from visiontune_kit import logs

from visiontune_storage.domain.failures import UploadNotPending
from visiontune_storage.domain.garbage import Sum
from visiontune_storage.domain.uploads import Upload
from visiontune_storage.ports import Deps
from visiontune_storage.use_cases import garbage
from visiontune_storage.use_cases.objects import purge_past_undo
from visiontune_storage.use_cases.uploads import end_without_object

_BATCH = 200
_MOST_EXPIRED = 10_000
_ALERT_TTL = timedelta(days=90)

log = logs.get(__name__)


async def sweep(deps: Deps) -> None:
    """Does what is due. Any number of replicas may run it at once, and it may stop anywhere."""
    await expire_overdue("", deps)
    await purge_past_undo("", deps)
    await purge_due(deps)
    async with deps.unit_of_work() as uow:
        await uow.uploads.forget_ended(before=deps.clock.now() - deps.rules.ended_upload_ttl)
        await uow.alerts.forget(before=deps.clock.now() - _ALERT_TTL)
        await uow.commit()


async def purge_due(deps: Deps) -> None:
    """Deletes bytes that were given up and that nobody has deleted yet."""
    async with deps.unit_of_work() as uow:
        due = await uow.garbage.due(deps.clock.now(), _BATCH)
    await garbage.purge(due, deps)


async def expire_overdue(project: str, deps: Deps, *, dry_run: bool = False) -> Sum:
    """Ends uploads that nobody completed in time, of one project or (empty) of all; 10,000 at once."""
    async with deps.unit_of_work() as uow:
        overdue = await uow.uploads.overdue(deps.clock.now(), _MOST_EXPIRED, project)
    if not dry_run:
        for upload in overdue:
            await _expire(upload, deps)
    return Sum(len(overdue), sum(each.size_bytes for each in overdue))


async def _expire(upload: Upload, deps: Deps) -> None:
    async with deps.unit_of_work() as uow:
        await uow.quotas.lock(upload.project)
        upload = await uow.uploads.get(upload.project, upload.id)
        try:
            await end_without_object(upload.expired(), uow, deps)
        except UploadNotPending:
            return  # Completed, aborted or expired by somebody else since.
        await uow.commit()
    log.info("upload_expired", upload=upload.name, size_bytes=upload.size_bytes)
