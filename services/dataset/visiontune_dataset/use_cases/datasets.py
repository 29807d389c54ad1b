"""Creating, reading, changing and deleting datasets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from visiontune_kit import errors, faults, logs

from visiontune_dataset.domain.datasets import Dataset
from visiontune_dataset.domain.failures import (
    DatasetExists,
    DatasetNotEmpty,
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
            raise DatasetExists(found.name, deleting=found.deleting)
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
    project: str, after: tuple[datetime, str] | None, limit: int, deps: Deps
) -> tuple[list[Dataset], tuple[datetime, str] | None]:
    """Returns a page, newest first, and where the next one begins."""
    async with deps.unit_of_work() as uow:
        found = await uow.datasets.page(project, after, limit + 1)
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


async def delete_dataset(project: str, dataset_id: str, *, force: bool, deps: Deps) -> None:
    """Hides a dataset at once, then removes its objects and rows; `sweep` goes on where this breaks off.

    Raises DatasetNotFound, ImportRunning; without `force` DatasetNotEmpty, InUseByJobs, TrainerUnavailable.
    """
    if not force and (await get_dataset(project, dataset_id, deps)).version_count:
        name = f"projects/{project}/datasets/{dataset_id}"
        if jobs := await deps.jobs.using(name):
            raise InUseByJobs(name, jobs)
    async with deps.unit_of_work() as uow:
        dataset = await uow.datasets.get(project, dataset_id, lock=True)
        if dataset.version_count and not force:
            raise DatasetNotEmpty(dataset.name, dataset.version_count)
        if running := await deps.imports.unsettled(uow.session, dataset.name):
            raise ImportRunning(dataset.name, running[0])
        hidden = dataset.being_deleted(deps.clock.now())
        await uow.datasets.save(hidden)
        await uow.commit()
    faults.point("dataset.hidden")
    try:
        await _remove(hidden, deps)
    except (errors.Unavailable, errors.DeadlineExceeded) as error:
        log.warning("dataset_deletion_postponed", dataset=hidden.name, error=error.message)


async def sweep(deps: Deps) -> None:
    """Finishes the deletions that a crash or an outage interrupted."""
    async with deps.unit_of_work() as uow:
        hidden = await uow.datasets.deleting()
    for dataset in hidden:
        try:
            await _remove(dataset, deps)
        except errors.Failure as error:
            log.warning("dataset_deletion_postponed", dataset=dataset.name, error=error.message)


async def _remove(dataset: Dataset, deps: Deps) -> None:
    await deps.storage.delete_owned(dataset.name)
    async with deps.unit_of_work() as uow:
        await uow.datasets.remove(dataset)
        await uow.commit()
    log.info("dataset_deleted", dataset=dataset.name)
