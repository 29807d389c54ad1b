"""Exports: versions become archives, as durable operations, and are deleted when their time is over."""

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from visiontune_data.export import Archive
from visiontune_data.shards import ShardFile
from visiontune_kit import errors, faults, logs

from visiontune_dataset.domain.datasets import Version
from visiontune_dataset.domain.exports import LIFETIME, Export, ExportJob, ExportState, format_for
from visiontune_dataset.domain.failures import ExportNotFound
from visiontune_dataset.ports import Deps, ExportRun, SignedUrl
from visiontune_dataset.use_cases.shards import readable

_URL_TTL = timedelta(hours=1)
_CONTENT_TYPES: dict[Archive, str] = {
    "tar.gz": "application/gzip",
    "tar": "application/x-tar",
    "zip": "application/zip",
}
log = logs.get(__name__)


async def start_export(version: Version, format_: str, archive: Archive, export_id: str, deps: Deps) -> Any:
    """Writes the operation that exports a version, and returns it. Raises UnknownFormat, ExportUnfit."""
    now = deps.clock.now()
    job = ExportJob(
        project=version.project,
        dataset=version.dataset,
        id=export_id,
        version=version.number,
        format=format_for(format_, version),
        archive=archive,
        created_at=now.isoformat(),
    )
    async with deps.unit_of_work() as uow:
        # Locked, so that no deletion of the dataset or the version can pass between.
        await uow.datasets.get(version.project, version.dataset, lock=True)
        await uow.versions.get(version.project, version.dataset, version.number)
        operation = await deps.imports.start(uow.session, job, ExportState(version.name, now, now))
        await uow.commit()
    return operation


async def run_export(run: ExportRun, deps: Deps) -> None:
    """One try: what an earlier one left is removed first; the archive shows in the commit that ends it."""
    job = run.job
    await deps.storage.delete_owned(job.owner)
    async with deps.unit_of_work() as uow:
        version = await uow.versions.get(job.project, job.dataset, job.version)
    now = deps.clock.now()
    state = ExportState(version.name, now, now, restart_count=run.restart_count)

    async def progress(count: int) -> None:
        done = 90 * count // version.example_count
        seen = replace(state, example_count=count, percent=done, updated_at=deps.clock.now())
        await run.progress(seen)

    scratch = _scratch(job, deps)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        file = scratch / job.filename
        summary = await deps.exporter.run(await readable(version.shards, deps), job, file, progress=progress)
        packed = ShardFile(file, summary.sha256, summary.size_bytes)
        stored = await deps.storage.put(packed, job.filename, job.owner, _CONTENT_TYPES[job.archive])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    faults.point("export.stored")
    [url] = await deps.storage.sign([stored.object], _URL_TTL)
    now = deps.clock.now()
    export = Export(
        project=job.project,
        dataset=job.dataset,
        id=job.id,
        version=job.version,
        format=job.format,
        filename=job.filename,
        object=stored.object,
        sha256=stored.sha256,
        size_bytes=stored.size_bytes,
        example_count=summary.example_count,
        image_count=summary.image_count,
        created_at=now,
        expires_at=now + LIFETIME,
    )
    done = replace(state, example_count=summary.example_count, percent=100, updated_at=now)
    async with deps.unit_of_work() as uow:
        await uow.exports.add(export)
        await run.finish(uow.session, export, url, done)
        await uow.commit()
    log.info("version_exported", export=export.name, size_bytes=export.size_bytes)


async def clean_up(job: ExportJob, deps: Deps) -> None:
    """After the end: scratch goes in any case, the archive unless it shows."""
    shutil.rmtree(_scratch(job, deps), ignore_errors=True)  # of a try whose server was killed
    async with deps.unit_of_work() as uow:
        is_shown = await uow.exports.find(job.project, job.dataset, job.id) is not None
    if not is_shown:
        await deps.storage.delete_owned(job.owner)


async def get_export(project: str, dataset_id: str, export_id: str, deps: Deps) -> tuple[Export, SignedUrl]:
    """Returns one with a URL that reads it. Raises DatasetNotFound, ExportNotFound."""
    async with deps.unit_of_work() as uow:
        dataset = await uow.datasets.get(project, dataset_id)
        export = await uow.exports.find(project, dataset_id, export_id)
    if export is None or export.expires_at <= deps.clock.now():
        raise ExportNotFound(f"{dataset.name}/exports/{export_id}")
    [url] = await deps.storage.sign([export.object], _URL_TTL)
    return export, url


async def sweep(deps: Deps) -> None:
    """Deletes the archives whose time is over: the bytes first, so that a crash in between is made good."""
    async with deps.unit_of_work() as uow:
        expired = await uow.exports.expired(deps.clock.now())
    for export in expired:
        try:
            await deps.storage.delete_owned(export.name)
        except errors.Failure as error:
            log.warning("export_deletion_postponed", export=export.name, error=error.message)
            continue
        async with deps.unit_of_work() as uow:
            await uow.exports.remove(export)
            await uow.commit()


def _scratch(job: ExportJob, deps: Deps) -> Path:
    return deps.rules.scratch / "imports" / f"{job.project}-{job.dataset}-{job.id}"
