"""Deleting versions: rows at once, then the objects that no other version shares."""

from collections import defaultdict

from visiontune_kit import errors, faults, logs

from visiontune_dataset.domain.datasets import Version
from visiontune_dataset.domain.failures import ImportRunning, InUseByJobs, VersionInUse
from visiontune_dataset.ports import Deps
from visiontune_dataset.use_cases import drafts

log = logs.get(__name__)


async def delete_version(version: Version, *, force: bool, deps: Deps) -> None:
    """Deletes it; `sweep` goes on where this breaks off.

    Raises VersionNotFound, ImportRunning; without `force` InUseByJobs, TrainerUnavailable, and VersionInUse
    while a draft edits it, or URLs that were given to a reader may still read it.
    """
    now = deps.clock.now()
    if not force and (jobs := await deps.jobs.using(version.name)):
        raise InUseByJobs(version.name, jobs)
    if force:
        await drafts.delete_drafts_on(version, deps)
    async with deps.unit_of_work() as uow:
        dataset = await uow.datasets.get(version.project, version.dataset, lock=True)
        found = await uow.versions.get(version.project, version.dataset, version.number)
        if running := await deps.imports.unsettled(uow.session, dataset.name):
            raise ImportRunning(dataset.name, running[0])
        if editing := await uow.drafts.on(found):
            raise VersionInUse(version.name, f"is edited by {editing[0].name}")
        if not force and found.read_until and found.read_until > now:
            until = found.read_until.strftime("%Y-%m-%d %H:%M UTC")
            raise VersionInUse(version.name, f"may be read until {until}, by URLs that are given")
        await uow.versions.remove(found)
        rest = await uow.versions.page(version.project, version.dataset, None, 1)
        await uow.datasets.save(dataset.without_version(rest[0].number if rest else 0, now))
        await uow.commit()
    faults.point("version.removed")
    log.info("version_deleted", version=version.name)
    await sweep(deps)


async def sweep(deps: Deps) -> None:
    """Deletes the objects that deleted versions left."""
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
