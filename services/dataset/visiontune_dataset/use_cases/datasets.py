"""Creating, reading, changing and deleting datasets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from visiontune_kit import errors, faults, logs

from visiontune_dataset.domain.datasets import Dataset
from visiontune_dataset.domain.failures import (
    DatasetExists,
    DatasetNotEmpty,
    DatasetNotFound,
    ImportRunning,
    InUseByJobs,
    TooManyDatasets,
    UnknownMaskPath,
)
from visiontune_dataset.ports import Deps

_CHANGEABLE = frozenset({"display_name", "description"})
log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class CreateDataset:
    """A dataset to create. `uid` is the same when the call is repeated."""

    project: str
    id: str
    uid: str
    display_name: str
    description: str


@dataclass(frozen=True, slots=True)
class UpdateDataset:
    """Changes to a dataset. `paths` is the update mask; empty means the texts that are not empty."""

    project: str
    id: str
    display_name: str
    description: str
    etag: str
    paths: Sequence[str]


async def create_dataset(command: CreateDataset, deps: Deps) -> Dataset:
    """Makes an empty dataset. Raises DatasetExists, TooManyDatasets."""
    limits = await deps.storage.limits(command.project)
    most = deps.rules.datasets_per_project if limits.datasets is None else limits.datasets
    now = deps.clock.now()
    made = Dataset(
        project=command.project,
        id=command.id,
        uid=command.uid,
        display_name=command.display_name,
        description=command.description,
        latest_version=0,
        version_count=0,
        created_at=now,
        updated_at=now,
    )
    async with deps.unit_of_work() as uow:
        found = await uow.datasets.find(command.project, command.id)
        if found is not None and found.uid == command.uid:
            return found  # the first try of this call committed, then lost its answer
        if found is not None:
            raise DatasetExists(found.name, deleting=found.deleting, until=found.purge_at)
        if await uow.datasets.count_and_lock(command.project) >= most:
            raise TooManyDatasets(command.project, most)
        await uow.datasets.add(made)
        await uow.commit()
    return made


async def get_dataset(project: str, dataset_id: str, deps: Deps) -> Dataset:
    """Returns one. Raises DatasetNotFound."""
    async with deps.unit_of_work() as uow:
        return await uow.datasets.get(project, dataset_id)


async def list_datasets(
    project: str, after: tuple[datetime, str] | None, limit: int, deps: Deps, *, deleted: bool = False
) -> tuple[list[Dataset], tuple[datetime, str] | None]:
    """Returns a page, newest first, and where the next one begins; of deleted ones if asked."""
    deleted_at = deps.clock.now() if deleted else None
    async with deps.unit_of_work() as uow:
        found = await uow.datasets.page(project, after, limit + 1, deleted_at=deleted_at)
    page = found[:limit]
    return page, (page[-1].created_at, page[-1].id) if len(found) > limit else None


async def update_dataset(command: UpdateDataset, deps: Deps) -> Dataset:
    """Changes the texts that the mask names. Raises DatasetNotFound, StaleEtag, UnknownMaskPath."""
    paths = _paths(command)
    async with deps.unit_of_work() as uow:
        before = await uow.datasets.get(command.project, command.id, lock=True)
        after = before.changed(
            deps.clock.now(),
            display_name=command.display_name if "display_name" in paths else before.display_name,
            description=command.description if "description" in paths else before.description,
            etag=command.etag,
        )
        await uow.datasets.save(after)
        await uow.commit()
    return after


def _paths(command: UpdateDataset) -> frozenset[str]:
    if "*" in command.paths:
        return _CHANGEABLE
    if not command.paths:
        return frozenset(path for path in _CHANGEABLE if getattr(command, path))
    for path in command.paths:
        if path not in _CHANGEABLE:
            raise UnknownMaskPath(path)
    return frozenset(command.paths)


async def delete_dataset(project: str, dataset_id: str, *, force: bool, purge: bool, deps: Deps) -> None:
    """Hides a dataset at once; when its undo window is over, or with `purge` now, objects and rows go.

    `sweep` goes on where this breaks off. Raises DatasetNotFound, ImportRunning; without `force`
    DatasetNotEmpty, InUseByJobs, TrainerUnavailable.
    """
    if not force:
        await _refuse_while_jobs_use(project, dataset_id, deps)
    now = deps.clock.now()
    until = now + deps.rules.undo_window if deps.rules.undo_window and not purge else None
    async with deps.unit_of_work() as uow:
        dataset = await uow.datasets.find(project, dataset_id, lock=True)
        if dataset is None or (dataset.deleting and not (purge and dataset.purge_at)):
            raise DatasetNotFound(f"projects/{project}/datasets/{dataset_id}")
        if dataset.version_count and not (force or dataset.deleting):
            raise DatasetNotEmpty(dataset.name, dataset.version_count)
        if running := await deps.imports.unsettled(uow.session, dataset.name):
            raise ImportRunning(dataset.name, running[0])
        hidden = dataset.being_deleted(now, until)
        await uow.datasets.save(hidden)
        await uow.commit()
    faults.point("dataset.hidden")
    log.info("dataset_hidden", dataset=hidden.name, until=until and until.isoformat())
    if until:
        return
    try:
        await _remove(hidden, deps)
    except (errors.Unavailable, errors.DeadlineExceeded) as error:
        log.warning("dataset_deletion_postponed", dataset=hidden.name, error=error.message)


async def _refuse_while_jobs_use(project: str, dataset_id: str, deps: Deps) -> None:
    async with deps.unit_of_work() as uow:
        dataset = await uow.datasets.find(project, dataset_id)
    if dataset and dataset.version_count and (jobs := await deps.jobs.using(dataset.name)):
        raise InUseByJobs(dataset.name, jobs)


async def undelete_dataset(project: str, dataset_id: str, deps: Deps) -> Dataset:
    """Brings a deleted dataset back; one that is there stays as it is. Raises DatasetNotFound."""
    now = deps.clock.now()
    async with deps.unit_of_work() as uow:
        found = await uow.datasets.find(project, dataset_id, lock=True)
        if found is None or (found.deleting and not found.is_restorable(now)):
            raise DatasetNotFound(f"projects/{project}/datasets/{dataset_id}")
        if not found.deleting:
            return found
        restored = found.restored(now)
        await uow.datasets.save(restored)
        await uow.commit()
    log.info("dataset_restored", dataset=restored.name)
    return restored


async def sweep(deps: Deps) -> None:
    """Removes what cannot be brought back any more; also what a crash or an outage left."""
    async with deps.unit_of_work() as uow:
        due = await uow.datasets.past_undo(deps.clock.now())
    for dataset in due:
        try:
            if await _is_final(dataset, deps):
                await _remove(dataset, deps)
        except errors.Failure as error:
            log.warning("dataset_deletion_postponed", dataset=dataset.name, error=error.message)


async def _is_final(dataset: Dataset, deps: Deps) -> bool:
    """Sees to it that a deleted dataset is not brought back any more; False when it just was."""
    now = deps.clock.now()
    async with deps.unit_of_work() as uow:
        found = await uow.datasets.find(dataset.project, dataset.id, lock=True)
        if found is None or not found.deleting or found.is_restorable(now):
            return False
        if found.purge_at:
            await uow.datasets.save(found.being_deleted(now, None))
            await uow.commit()
    return True


async def _remove(dataset: Dataset, deps: Deps) -> None:
    await deps.storage.delete_owned(dataset.name)
    async with deps.unit_of_work() as uow:
        await uow.datasets.remove(dataset)
        await uow.commit()
    log.info("dataset_deleted", dataset=dataset.name)
