"""Imports: started as durable operations, run from the start until they end, cleaned up after."""

import shutil
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from visiontune_data.limits import Limits
from visiontune_data.treatment import Treatment

from visiontune_dataset.domain.datasets import Version
from visiontune_dataset.domain.failures import UploadTaken
from visiontune_dataset.domain.imports import (
    Given,
    GoesOn,
    ImportJob,
    ImportState,
    check_format,
    check_kinds,
    operation_name,
)
from visiontune_dataset.ports import Deps, ImportFile, ReadableBase, ReadableShard, VersionRun
from visiontune_dataset.ports.database import UnitOfWork
from visiontune_dataset.use_cases.making import Making, Origin, empty_scratch, scratch_of
from visiontune_dataset.use_cases.shards import readable

_SOURCE_URL_TTL = timedelta(days=1)
_MOST_VERSIONS = 1_000


@dataclass(frozen=True, slots=True)
class StartImport:
    """Uploads to import into a dataset, as one version."""

    project: str
    dataset: str
    uploads: tuple[str, ...]
    format: str
    skip_errors: bool
    validation_fraction: float
    treatment: Treatment
    base: GoesOn | None = None


async def start_import(command: StartImport, deps: Deps) -> Any:
    """Writes the operation that imports uploads, and returns it; a repeated call returns the same one.

    Raises UnknownFormat, VisionTrainingDisabled, DatasetNotFound, VersionNotFound, UploadNotComplete,
    UploadTaken.
    """
    wanted = check_format(command.format, vision_enabled=deps.rules.vision_enabled)
    command = replace(command, format=wanted)
    async with deps.unit_of_work() as uow:
        await uow.datasets.get(command.project, command.dataset)
        if operation := await _earlier(command, uow, deps):
            return operation
    first, *more = [await _given(upload, deps) for upload in command.uploads]
    now = deps.clock.now()
    job = ImportJob(
        project=command.project,
        dataset=command.dataset,
        upload=first.upload,
        object=first.object,
        filename=first.filename,
        sha256=first.sha256,
        size_bytes=first.size_bytes,
        format=command.format,
        skip_errors=command.skip_errors,
        validation_fraction=command.validation_fraction,
        created_at=now.isoformat(),
        treatment=command.treatment,
        more=tuple(more),
        base=command.base,
    )
    async with deps.unit_of_work() as uow:
        # Locked, so that no deletion, nor another import of the upload, can pass between.
        await uow.datasets.get(command.project, command.dataset, lock=True)
        if command.base:
            await uow.versions.get(command.project, command.dataset, command.base.number)
        if operation := await _earlier(command, uow, deps):
            return operation
        state = ImportState(job.dataset_name, job.total_bytes, created_at=now, updated_at=now)
        operation = await deps.imports.start(uow.session, job, state)
        await uow.commit()
    return operation


async def _given(upload: str, deps: Deps) -> Given:
    archive = await deps.storage.get_archive(upload)
    return Given(upload, archive.object, archive.filename, archive.sha256, archive.size_bytes)


async def _earlier(command: StartImport, uow: UnitOfWork, deps: Deps) -> Any:
    """The operation that the same call has started before, or None.

    Raises UploadTaken when that one was asked for something else, or ended without a version.
    """
    name = operation_name(command.project, command.dataset, command.uploads[0])
    earlier = await deps.imports.find(uow.session, name)
    if earlier is None:
        return None
    job = earlier.job
    uploads = tuple(each.upload for each in job.given)
    asked = StartImport(
        job.project, job.dataset, uploads, job.format, job.skip_errors, job.validation_fraction,
        job.treatment, job.base,
    )  # fmt: skip
    if earlier.in_vain or asked != command:
        raise UploadTaken(command.uploads[0], name, in_vain=earlier.in_vain)
    return earlier.operation


async def run_import(run: VersionRun[ImportJob], deps: Deps) -> None:
    """One try: whatever an earlier one left is removed first, and everything becomes visible in one commit.

    Raises ImportRefused when the data has problems that forbid a version, VisionTrainingDisabled when it has
    images and they are switched off.
    """
    job = run.job
    await deps.storage.delete_owned(job.owner)
    base = await _base_of(job, deps)
    making = Making(run, deps, job.total_bytes)
    limits = await project_limits(job.project, deps)
    with empty_scratch(job, deps) as scratch:
        signed = await deps.storage.sign([each.object for each in job.given], _SOURCE_URL_TTL)
        outcome = await deps.importer.run(
            [
                ImportFile(source.url, each.size_bytes, each.filename)
                for source, each in zip(signed, job.given, strict=True)
            ],
            scratch,
            replace(
                deps.rules.options,
                format=job.format,
                skip_errors=job.skip_errors,
                validation_fraction=job.validation_fraction,
                treatment=job.treatment,
                limits=limits,
            ),
            earlier=await _shards_of(job, deps) if job.may_name_digests else (),
            uploaded=await _uploaded(job, limits, deps) if job.may_name_digests else {},
            base=await _readable(base, job, deps),
            progress=making.progress,
            finished=making.put,
        )
    making.problems = outcome.problems
    if outcome.version is None:
        await making.refuse(outcome.report)
    else:
        made = outcome.version
        check_kinds(made.format, made.kinds, vision_enabled=deps.rules.vision_enabled)
        uploads = tuple(each.upload for each in job.given)
        origin = Origin(job.title, job.sha256, uploads, parent=base.number if base else 0)
        await making.commit(outcome.report, made, origin, base.shared(outcome.shared) if base else None)


async def _base_of(job: ImportJob, deps: Deps) -> Version | None:
    if job.base is None:
        return None
    async with deps.unit_of_work() as uow:
        return await uow.versions.get(job.project, job.dataset, job.base.number)


async def _readable(base: Version | None, job: ImportJob, deps: Deps) -> ReadableBase | None:
    if base is None or job.base is None:
        return None
    shards = await readable(base.shards, deps)
    return ReadableBase(f"v{base.number}", base.format, job.base.mode, tuple(shards))


async def _shards_of(job: ImportJob, deps: Deps) -> list[ReadableShard]:
    """The shards whose images records may name: of all versions of this dataset, and of others' newest."""
    async with deps.unit_of_work() as uow:
        found = await uow.versions.page(job.project, job.dataset, None, _MOST_VERSIONS)
        for dataset in await uow.datasets.page(job.project, None, _MOST_VERSIONS):
            if dataset.id != job.dataset and dataset.latest_version:
                found.append(await uow.versions.get(job.project, dataset.id, dataset.latest_version))
    once = {shard.examples.object: shard for version in found for shard in version.shards}
    return await readable(list(once.values()), deps)


async def _uploaded(job: ImportJob, limits: Limits, deps: Deps) -> dict[str, str]:
    """URLs by sha256 of files of the project that were uploaded and are small enough to be images."""
    found = await deps.storage.uploaded(job.project, limits.image_bytes)
    signed = await deps.storage.sign(list(found.values()), _SOURCE_URL_TTL)
    return {sha256: each.url for sha256, each in zip(found, signed, strict=True)}


async def project_limits(project: str, deps: Deps) -> Limits:
    """Returns what a version of the project may hold: the operator's limits, or those set for the project."""
    limits, own = deps.rules.options.limits, await deps.storage.limits(project)
    return limits if own.images is None else replace(limits, images=own.images)


async def clean_up(job: ImportJob, deps: Deps) -> None:
    """After the end: scratch goes, each upload after its last import, shards unless a version has them.

    An upload may be imported into several datasets at once; each of them ends before it looks for the others.
    A report that was not finished goes, too.
    """
    shutil.rmtree(scratch_of(job, deps), ignore_errors=True)  # of a try whose server was killed
    async with deps.unit_of_work() as uow:
        committed = await uow.versions.has_owner(job.project, job.dataset, job.owner)
        still_read = await deps.imports.objects_in_use(uow.session, job.project)
        await uow.reports.drop_unfinished(job.project, job.dataset, job.id)
        await uow.commit()
    if not committed:
        await deps.storage.delete_owned(job.owner)
    if done_with := [each.object for each in job.given if each.object not in still_read]:
        await deps.storage.delete(job.project, done_with)
