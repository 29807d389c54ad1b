"""Imports: started as durable operations, run from the start until they end, cleaned up after."""

import shutil
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from visiontune_data.limits import Limits

from visiontune_dataset.domain.failures import UploadTaken
from visiontune_dataset.domain.imports import (
    ImportJob,
    ImportState,
    check_format,
    check_kinds,
    operation_name,
)
from visiontune_dataset.ports import Deps, ProjectLimits, UnitOfWork, VersionRun
from visiontune_dataset.use_cases.making import Making, Origin

_SOURCE_URL_TTL = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class StartImport:
    """An upload to import into a dataset."""

    project: str
    dataset: str
    upload: str
    format: str
    skip_errors: bool
    validation_fraction: float


async def start_import(command: StartImport, deps: Deps) -> Any:
    """Writes the operation that imports an upload, and returns it; a repeated call returns the same one.

    Raises UnknownFormat, VisionTrainingDisabled, DatasetNotFound, UploadNotComplete, UploadTaken.
    """
    wanted = check_format(command.format, vision_enabled=deps.rules.vision_enabled)
    command = replace(command, format=wanted)
    async with deps.unit_of_work() as uow:
        await uow.datasets.get(command.project, command.dataset)
        if operation := await _earlier(command, uow, deps):
            return operation
    archive = await deps.storage.get_archive(command.upload)
    now = deps.clock.now()
    job = ImportJob(
        project=command.project,
        dataset=command.dataset,
        upload=command.upload,
        object=archive.object,
        filename=archive.filename,
        sha256=archive.sha256,
        size_bytes=archive.size_bytes,
        format=command.format,
        skip_errors=command.skip_errors,
        validation_fraction=command.validation_fraction,
        created_at=now.isoformat(),
    )
    async with deps.unit_of_work() as uow:
        # Locked, so that neither a deletion of the dataset nor another import of the upload can pass between.
        await uow.datasets.get(command.project, command.dataset, lock=True)
        if operation := await _earlier(command, uow, deps):
            return operation
        state = ImportState(job.dataset_name, job.size_bytes, created_at=now, updated_at=now)
        operation = await deps.imports.start(uow.session, job, state)
        await uow.commit()
    return operation


async def _earlier(command: StartImport, uow: UnitOfWork, deps: Deps) -> Any:
    """The operation that the same call has started before, or None.

    Raises UploadTaken when that one was asked for something else, or ended without a version.
    """
    name = operation_name(command.project, command.dataset, command.upload)
    earlier = await deps.imports.find(uow.session, name)
    if earlier is None:
        return None
    job = earlier.job
    asked = StartImport(
        job.project, job.dataset, job.upload, job.format, job.skip_errors, job.validation_fraction
    )
    if earlier.in_vain or asked != command:
        raise UploadTaken(command.upload, name, in_vain=earlier.in_vain)
    return earlier.operation


async def run_import(run: VersionRun[ImportJob], deps: Deps) -> None:
    """One try: whatever an earlier one left is removed first, and everything becomes visible in one commit.

    Raises ImportRefused when the data has problems that forbid a version, VisionTrainingDisabled when it has
    images and they are switched off.
    """
    job = run.job
    await deps.storage.delete_owned(job.owner)
    making = Making(run, deps, job.size_bytes)
    scratch = _scratch(job, deps)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        [source] = await deps.storage.sign([job.object], _SOURCE_URL_TTL)
        limits = await deps.storage.limits(job.project)
        outcome = await deps.importer.run(
            source.url,
            job.size_bytes,
            job.filename,
            scratch,
            replace(
                deps.rules.options,
                format=job.format,
                skip_errors=job.skip_errors,
                validation_fraction=job.validation_fraction,
                limits=_with_project(deps.rules.options.limits, limits),
            ),
            progress=making.progress,
            finished=making.put,
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if outcome.version is None:
        await making.refuse(outcome.report)
    else:
        made = outcome.version
        check_kinds(made.format, made.kinds, vision_enabled=deps.rules.vision_enabled)
        origin = Origin(job.filename, job.sha256, uploads=(job.upload,))
        await making.commit(outcome.report, made, origin)


def _with_project(limits: Limits, project: ProjectLimits) -> Limits:
    return limits if project.images is None else replace(limits, images=project.images)


async def clean_up(job: ImportJob, deps: Deps) -> None:
    """After the end: scratch goes, the archive after its last import, shards unless a version has them.

    An upload may be imported into several datasets at once; each of them ends before it looks for the others.
    """
    shutil.rmtree(_scratch(job, deps), ignore_errors=True)  # of a try whose server was killed
    async with deps.unit_of_work() as uow:
        committed = await uow.versions.has_owner(job.project, job.dataset, job.owner)
        others = await deps.imports.running(uow.session, job)
    if not committed:
        await deps.storage.delete_owned(job.owner)
    if not others:
        await deps.storage.delete(job.project, [job.object])


def _scratch(job: ImportJob, deps: Deps) -> Path:
    return deps.rules.scratch / "imports" / f"{job.project}-{job.dataset}-{job.id}"
