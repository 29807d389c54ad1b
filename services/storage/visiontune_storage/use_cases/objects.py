"""Reading, signing, listing and deleting objects."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from visiontune_kit import faults, logs

from visiontune_storage.domain.objects import Garbage, StoredObject, check_owner, check_users_own
from visiontune_storage.domain.uploads import SigningWindow
from visiontune_storage.ports import Deps, UnitOfWork
from visiontune_storage.use_cases import garbage, uploads
from visiontune_storage.use_cases.quotas import save_use

_BATCH = 500  # objects a transaction deletes

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class SignedRead:
    """An object and the URL that reads it."""

    stored: StoredObject
    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects, and where the next ones begin."""

    objects: Sequence[StoredObject]
    next_after: tuple[datetime, str] | None  # None at the end


@dataclass(frozen=True, slots=True)
class Deleted:
    """What one call deleted."""

    object_count: int = 0
    freed_bytes: int = 0

    def __add__(self, other: "Deleted") -> "Deleted":
        return Deleted(self.object_count + other.object_count, self.freed_bytes + other.freed_bytes)


async def get_object(project: str, object_id: str, deps: Deps) -> StoredObject:
    """Returns one object. Raises ObjectNotFound."""
    async with deps.unit_of_work() as uow:
        [found] = await uow.objects.get_all(project, [object_id])
    return found


async def sign_reads(
    project: str, object_ids: Sequence[str], ttl: timedelta | None, deps: Deps
) -> list[SignedRead]:
    """Signs a GET of each object, in that order. Raises ObjectNotFound when one is missing."""
    async with deps.unit_of_work() as uow:
        found = await uow.objects.get_all(project, object_ids)
    window = SigningWindow.of(deps.clock.now(), ttl or deps.rules.read_url_ttl)
    urls = await deps.objects.sign_reads([each.key for each in found], window)
    return [SignedRead(each, url, window.end) for each, url in zip(found, urls, strict=True)]


async def list_objects(
    project: str, owner: str, after: tuple[datetime, str] | None, limit: int, deps: Deps
) -> Page:
    """Returns up to `limit` objects, oldest first; of all owners when `owner` is empty."""
    check_owner(owner, project, "owner")
    async with deps.unit_of_work() as uow:
        found = await uow.objects.page(project, owner, after, limit + 1)
    shown = found[:limit]
    more = len(found) > limit
    return Page(shown, (shown[-1].created_at, shown[-1].id) if more else None)


async def delete_objects(project: str, object_ids: Sequence[str], deps: Deps, *, by_service: bool) -> Deleted:
    """Deletes those that are still there. A user's call raises OwnerReserved unless all are of uploads."""
    async with deps.unit_of_work() as uow:
        deleted, left = await _remove(project, object_ids, uow, deps, by_service=by_service)
        await uow.commit()
    faults.point("delete_objects.committed")
    await garbage.purge(left, deps)
    return deleted


async def delete_owned(project: str, owner: str, deps: Deps, *, by_service: bool) -> Deleted:
    """Deletes every object of an owner and of what is below it, and aborts their pending uploads.

    A user's call raises OwnerReserved unless the owner is an upload.
    """
    check_owner(owner, project, "owner")
    if not by_service:
        check_users_own(owner, project)
    total = Deleted()
    while True:
        async with deps.unit_of_work() as uow:
            await uow.quotas.lock(project)
            pending = await uow.uploads.pending_of(project, owner, _BATCH)
            left = [(await uploads.end_without_object(each.aborted(), uow, deps))[1] for each in pending]
            owned = await uow.objects.page(project, owner, None, _BATCH)
            deleted, bytes_left = await _remove(
                project, [each.id for each in owned], uow, deps, by_service=by_service
            )
            await uow.commit()
        faults.point("delete_objects.committed")
        await garbage.purge([*left, *bytes_left], deps)
        total += deleted + Deleted(0, sum(each.size_bytes for each in pending))
        if len(pending) < _BATCH and len(owned) < _BATCH:
            return total


async def _remove(
    project: str, object_ids: Sequence[str], uow: UnitOfWork, deps: Deps, *, by_service: bool
) -> tuple[Deleted, list[Garbage]]:
    """Deletes rows, frees their quota and leaves their bytes as garbage, in the open transaction."""
    quota = await uow.quotas.lock(project)
    removed = await uow.objects.remove(project, object_ids)
    if not by_service:
        for each in removed:
            check_users_own(each.owner, project)  # what is refused is not committed
    now = deps.clock.now()
    left = [
        Garbage(each.key, from_upload=False, store_upload_id="", due_at=now, keep_until=now)
        for each in removed
    ]
    deleted = Deleted(len(removed), sum(each.size_bytes for each in removed))
    if removed:
        await uow.garbage.add(left)
        await save_use(quota.freed(deleted.freed_bytes, deleted.object_count), uow, deps)
        log.info("objects_deleted", count=deleted.object_count, freed_bytes=deleted.freed_bytes)
    return deleted, left
