"""What time does on its own: ends uploads nobody completed, finishes deletions that were cut short."""

from datetime import timedelta

from visiontune_kit import logs

from visiontune_storage.domain.failures import UploadNotPending
from visiontune_storage.domain.uploads import Upload
from visiontune_storage.ports import Deps
from visiontune_storage.use_cases import garbage
from visiontune_storage.use_cases.uploads import end_without_object

_BATCH = 200
_ALERT_TTL = timedelta(days=90)

log = logs.get(__name__)


async def sweep(deps: Deps) -> None:
    """Does what is due. Any number of replicas may run it at once, and it may stop anywhere."""
    async with deps.unit_of_work() as uow:
        overdue = await uow.uploads.overdue(deps.clock.now(), _BATCH)
    for upload in overdue:
        await _expire(upload, deps)
    async with deps.unit_of_work() as uow:
        due = await uow.garbage.due(deps.clock.now(), _BATCH)
    await garbage.purge(due, deps)
    async with deps.unit_of_work() as uow:
        await uow.uploads.forget_ended(before=deps.clock.now() - deps.rules.ended_upload_ttl)
        await uow.alerts.forget(before=deps.clock.now() - _ALERT_TTL)
        await uow.commit()


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
