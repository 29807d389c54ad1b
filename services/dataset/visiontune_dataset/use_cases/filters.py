"""Versions that keep what a filter holds for: durable operations that share what did not change."""

import asyncio
import shutil
from dataclasses import replace
from typing import Any

from visiontune_data import filters
from visiontune_data.filters import FilterError
from visiontune_data.text import shorten

from visiontune_dataset.domain.failures import FilterInvalid
from visiontune_dataset.domain.filters import FilterJob
from visiontune_dataset.domain.imports import ImportState, check_kinds
from visiontune_dataset.ports import Deps, VersionRun
from visiontune_dataset.use_cases.imports import project_limits
from visiontune_dataset.use_cases.making import Making, Origin, empty_scratch, scratch_of
from visiontune_dataset.use_cases.shards import readable


async def start_filter(
    project: str, dataset_id: str, base: int, filter_: str, filter_id: str, deps: Deps
) -> Any:
    """Writes the operation that makes a version of what the filter keeps of another, and returns it.

    Raises FilterInvalid, DatasetNotFound, VersionNotFound.
    """
    try:
        filters.parse(filter_)
    except FilterError as error:
        raise FilterInvalid(str(error)) from error
    now = deps.clock.now()
    job = FilterJob(project, dataset_id, filter_id, base, filter_, now.isoformat())
    async with deps.unit_of_work() as uow:
        await uow.datasets.get(project, dataset_id, lock=True)
        await uow.versions.get(project, dataset_id, base)
        state = ImportState(job.dataset_name, 0, created_at=now, updated_at=now)
        operation = await deps.imports.start(uow.session, job, state)
        await uow.commit()
    return operation


async def run_filter(run: VersionRun[FilterJob], deps: Deps) -> None:
    """One try: whatever an earlier one left is removed first, and everything becomes visible in one commit.

    Raises ImportRefused when nothing is left.
    """
    job = run.job
    await deps.storage.delete_owned(job.owner)
    async with deps.unit_of_work() as uow:
        base = await uow.versions.get(job.project, job.dataset, job.base)
    index = await deps.indexes.of(base)
    kept = set(await asyncio.to_thread(index.select, filters.parse(job.filter)))
    gone = [id_ for row, id_ in enumerate(index.ids()) if row not in kept]
    making = Making(run, deps, 0)
    with empty_scratch(job, deps) as scratch:
        rewritten = await deps.rewriter.run(
            await readable(base.shards, deps),
            dict.fromkeys(gone),
            [],
            {},
            base.format,
            f"v{base.number} where {shorten(job.filter)}",
            scratch,
            replace(deps.rules.options, limits=await project_limits(job.project, deps)),
            progress=making.progress,
            finished=making.put,
        )
    if rewritten.version is None:
        await making.refuse(rewritten.report)
        return
    made = rewritten.version
    check_kinds(made.format, made.kinds, vision_enabled=deps.rules.vision_enabled)
    await making.commit(rewritten.report, made, Origin(parent=base.number), base.shared(rewritten.shared))


async def clean_up(job: FilterJob, deps: Deps) -> None:
    """After the end: shards go unless a version has them."""
    shutil.rmtree(scratch_of(job, deps), ignore_errors=True)  # of a try whose server was killed
    async with deps.unit_of_work() as uow:
        committed = await uow.versions.has_owner(job.project, job.dataset, job.owner)
    if not committed:
        await deps.storage.delete_owned(job.owner)
