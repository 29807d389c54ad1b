"""Deleting versions and bringing them back; past that rows go, then the objects that no other shares."""

from collections import defaultdict
from dataclasses import replace

from visiontune_kit import errors, faults, logs

from visiontune_dataset.domain.datasets import Version
from visiontune_dataset.domain.failures import ImportRunning, InUseByJobs, VersionInUse, VersionNotFound
from visiontune_dataset.ports import Deps
from visiontune_dataset.use_cases import drafts

log = logs.get(__name__)


async def delete_version(
    project: str, dataset_id: str, number: int, *, force: bool, purge: bool, deps: Deps
) -> None:
    """Hides it; when its undo window is over, or with `purge` now, it goes. `sweep` goes on from here.

    Raises DatasetNotFound, VersionNotFound, ImportRunning; without `force` InUseByJobs, TrainerUnavailable,
    and VersionInUse while a draft edits it, or URLs that were given to a reader may still read it.
    """
    now = deps.clock.now()
    async with deps.unit_of_work() as uow:
        await uow.datasets.get(project, dataset_id)
        version = await uow.versions.get(project, dataset_id, number, deleted=purge)
    if force:
        await drafts.delete_drafts_on(version, deps)
    elif jobs := await deps.jobs.using(version.name):
        raise InUseByJobs(version.name, jobs)
    async with deps.unit_of_work() as uow:
        dataset = await uow.datasets.get(project, dataset_id, lock=True)
        found = await uow.versions.get(project, dataset_id, number, deleted=purge)
        if running := await deps.imports.unsettled(uow.session, dataset.name):
            raise ImportRunning(dataset.name, running[0])
        if editing := await uow.drafts.on(found):
            raise VersionInUse(found.name, f"is edited by {editing[0].name}")
        if not force and found.read_until and found.read_until > now:
            until = found.read_until.strftime("%Y-%m-%d %H:%M UTC")
            raise VersionInUse(found.name, f"may be read until {until}, by URLs that are given")
        if deps.rules.undo_window and not purge:
            await uow.versions.set_purge_at(found, now + deps.rules.undo_window)
        else:
            await uow.versions.remove(found)
        if not found.purge_at:
            rest = await uow.versions.page(project, dataset_id, None, 1)
            await uow.datasets.save(dataset.without_version(rest[0].number if rest else 0, now))
        await uow.commit()
    faults.point("version.removed")
    log.info("version_deleted", version=found.name, purged=purge)
    await sweep(deps)


async def undelete_version(project: str, dataset_id: str, number: int, deps: Deps) -> Version:
    """Brings a deleted version back; one that is there stays as it is.

    Raises DatasetNotFound, VersionNotFound.
    """
    now = deps.clock.now()
    async with deps.unit_of_work() as uow:
        dataset = await uow.datasets.get(project, dataset_id, lock=True)
        found = await uow.versions.get(project, dataset_id, number, deleted=True)
        if found.purge_at is None:
            return found
        if found.purge_at <= now:
            raise VersionNotFound(found.name)
        await uow.versions.set_purge_at(found, None)
        await uow.datasets.save(dataset.with_restored(number, now))
        await uow.commit()
    log.info("version_restored", version=found.name)
    return replace(found, purge_at=None)


async def sweep(deps: Deps) -> None:
    """Removes versions that cannot be brought back any more, and the objects that they left."""
    async with deps.unit_of_work() as uow:
        due = await uow.versions.past_undo(deps.clock.now())
    for each in due:
        await _remove(*each, deps)
    async with deps.unit_of_work() as uow:
        left = await uow.versions.leftovers()
    of_project = defaultdict(list)
    for project, name in left:
        of_project[project].append(name)
    for project, names in of_project.items():
        try:
            await deps.storage.delete(project, names)
        except errors.Failure as error:
            log.warning("version_deletion_postponed", project=project, error=error.message)
            continue
        async with deps.unit_of_work() as uow:
            await uow.versions.forget_leftovers(names)
            await uow.commit()


async def _remove(project: str, dataset_id: str, number: int, deps: Deps) -> None:
    async with deps.unit_of_work() as uow:
        if await uow.datasets.find(project, dataset_id, lock=True) is None:
            return
        try:
            found = await uow.versions.get(project, dataset_id, number, deleted=True)
        except VersionNotFound:  # another replica was quicker
            return
        if found.purge_at is None or found.purge_at > deps.clock.now():
            return  # brought back meanwhile
        await uow.versions.remove(found)
        await uow.commit()
