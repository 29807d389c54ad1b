"""Reading, signing, listing and deleting objects."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from visiontune_kit import faults, logs

from visiontune_storage.domain.garbage import Sum
from visiontune_storage.domain.objects import Garbage, StoredObject, check_owner, check_users_own
from visiontune_storage.domain.uploads import SigningWindow
from visiontune_storage.ports import Deps, UnitOfWork
from visiontune_storage.use_cases import garbage, uploads
from visiontune_storage.use_cases.quotas import save_use

_BATCH = 500  # objects a transaction deletes
_MOST_PURGED = 10_000

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
    project: str,
    owner: str,
    after: tuple[datetime, str] | None,
    limit: int,
    deps: Deps,
    *,
    show_deleted: bool = False,
) -> Page:
    """Returns up to `limit` objects, oldest first; of all owners when `owner` is empty."""
    check_owner(owner, project, "owner")
    async with deps.unit_of_work() as uow:
        found = await uow.objects.page(project, owner, after, limit + 1, deleted=show_deleted)
    shown = found[:limit]
    more = len(found) > limit
    return Page(shown, (shown[-1].created_at, shown[-1].id) if more else None)


async def delete_objects(
    project: str,
    object_ids: Sequence[str],
    deps: Deps,
    *,
    by_service: bool,
    undo_window: timedelta | None = None,
) -> Deleted:
    """Deletes those that are still there; with an undo window, so that `undelete` can bring them back.

    A user's call raises OwnerReserved unless all are of uploads.
    """
    act = _remove if undo_window is None else _hide_for(undo_window)
    async with deps.unit_of_work() as uow:
        deleted, left = await act(project, object_ids, uow, deps, by_service=by_service)
        await uow.commit()
    faults.point("delete_objects.committed")
    await garbage.purge(left, deps)
    return deleted


async def delete_owned(
    project: str, owner: str, deps: Deps, *, by_service: bool, undo_window: timedelta | None = None
) -> Deleted:
    """Deletes every object of an owner and of what is below it, and aborts their pending uploads.

    A user's call raises OwnerReserved unless the owner is an upload.
    """
    check_owner(owner, project, "owner")
    if not by_service:
        check_users_own(owner, project)
    act = _remove if undo_window is None else _hide_for(undo_window)
    total = Deleted()
    while True:
        async with deps.unit_of_work() as uow:
            await uow.quotas.lock(project)
            pending = await uow.uploads.pending_of(project, owner, _BATCH)
            left = [(await uploads.end_without_object(each.aborted(), uow, deps))[1] for each in pending]
            owned = await uow.objects.page(project, owner, None, _BATCH, deleted=undo_window is None)
            deleted, bytes_left = await act(
                project, [each.id for each in owned], uow, deps, by_service=by_service
            )
            await uow.commit()
        faults.point("delete_objects.committed")
        await garbage.purge([*left, *bytes_left], deps)
        total += deleted + Deleted(0, sum(each.size_bytes for each in pending))
        if len(pending) < _BATCH and len(owned) < _BATCH:
            return total


async def undelete(
    project: str, object_ids: Sequence[str], owner: str, deps: Deps, *, by_service: bool
) -> Sum:
    """Brings back what is named, or what an owner has, as far as its undo window has not ended.

    A user's call raises OwnerReserved unless all are of uploads.
    """
    check_owner(owner, project, "owner")
    async with deps.unit_of_work() as uow:
        await uow.quotas.lock(project)
        restored = await uow.objects.restore(project, object_ids, owner, deps.clock.now())
        if not by_service:
            for each in restored:
                check_users_own(each.owner, project)  # what is refused is not committed
        await uow.commit()
    log.info("objects_restored", project=project, count=len(restored))
    return Sum.of(restored)


async def purge_past_undo(project: str, deps: Deps, *, dry_run: bool = False) -> Sum:
    """Removes deleted objects past their undo window, of one project or (empty) of all; 10,000 at once."""
    async with deps.unit_of_work() as uow:
        due = await uow.objects.past_undo(deps.clock.now(), project, _MOST_PURGED)
    if dry_run:
        return Sum.of(due)
    total = Sum()
    for start in range(0, len(due), _BATCH):
        batch = due[start : start + _BATCH]
        for owner_project in sorted({each.project for each in batch}):
            ids = [each.id for each in batch if each.project == owner_project]
            total += await _purge(owner_project, ids, deps)
    return total


async def _purge(project: str, object_ids: Sequence[str], deps: Deps) -> Sum:
    async with deps.unit_of_work() as uow:
        await uow.quotas.lock(project)
        # Read again: somebody may have brought them back meanwhile.
        due = await uow.objects.past_undo(deps.clock.now(), project, _MOST_PURGED)
        still = {each.id for each in due}.intersection(object_ids)
        deleted, left = await _remove(project, sorted(still), uow, deps, by_service=True)
        await uow.commit()
    await garbage.purge(left, deps)
    return Sum(deleted.object_count, deleted.freed_bytes)


class _Act(Protocol):
    """One way to delete objects in the open transaction; returns what was deleted, and bytes to purge."""

    async def __call__(
        self, project: str, object_ids: Sequence[str], uow: UnitOfWork, deps: Deps, *, by_service: bool
    ) -> tuple[Deleted, list[Garbage]]: ...


def _hide_for(undo_window: timedelta) -> _Act:
    """Deletes in a way that can be taken back until the window ends. Quota and bytes stay taken so long."""

    async def hide(
        project: str, object_ids: Sequence[str], uow: UnitOfWork, deps: Deps, *, by_service: bool
    ) -> tuple[Deleted, list[Garbage]]:
        await uow.quotas.lock(project)
        hidden = await uow.objects.mark(project, object_ids, deps.clock.now() + undo_window)
        if not by_service:
            for each in hidden:
                check_users_own(each.owner, project)
        return Deleted(len(hidden)), []

    return hide


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
