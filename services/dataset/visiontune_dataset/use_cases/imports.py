"""Imports: started as durable operations, run from the start until they end, cleaned up after."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from visiontune_data import ingest
from visiontune_data.ingest import Outcome, Progress
from visiontune_data.limits import Limits
from visiontune_data.shards import Shard
from visiontune_kit import faults, logs

from visiontune_dataset.domain.datasets import StoredShard, Version
from visiontune_dataset.domain.failures import ImportRefused, UploadTaken
from visiontune_dataset.domain.imports import (
    ImportJob,
    ImportState,
    Stage,
    check_format,
    operation_name,
)
from visiontune_dataset.ports import Deps, ImportRun, ProjectLimits, StoredReport, UnitOfWork

_SOURCE_URL_TTL = timedelta(days=1)
_PROGRESS_EVERY_S = 1.0
_STAGES = {ingest.Stage.READING: Stage.READING, ingest.Stage.WRITING: Stage.WRITING}
log = logs.get(__name__)


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


async def run_import(run: ImportRun, deps: Deps) -> None:
    """One try: whatever an earlier one left is removed first, and everything becomes visible in one commit.

    Raises ImportRefused when the data has problems that forbid a version.
    """
    job = run.job
    await deps.storage.delete_owned(job.owner)
    import_ = _Import(run, deps)
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
            progress=import_.progress,
            finished=import_.put,
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if outcome.version is None:
        await import_.refuse(outcome)
    else:
        await import_.commit(outcome, outcome.version)


def _with_project(limits: Limits, project: ProjectLimits) -> Limits:
    return limits if project.images is None else replace(limits, images=project.images)


async def clean_up(job: ImportJob, deps: Deps) -> None:
    """After the end: scratch and the archive go in any case, the shards unless a version has them."""
    shutil.rmtree(_scratch(job, deps), ignore_errors=True)  # of a try whose server was killed
    async with deps.unit_of_work() as uow:
        committed = await uow.versions.has_owner(job.project, job.dataset, job.owner)
    if not committed:
        await deps.storage.delete_owned(job.owner)
    await deps.storage.delete(job.project, [job.object])


def _scratch(job: ImportJob, deps: Deps) -> Path:
    return deps.rules.scratch / "imports" / f"{job.project}-{job.dataset}-{job.id}"


@dataclass(slots=True)
class _Import:
    """What one try has done so far."""

    run: ImportRun
    deps: Deps
    state: ImportState = field(init=False)
    shards: list[StoredShard] = field(default_factory=list)
    _shown_at: float = 0.0

    def __post_init__(self) -> None:
        job, now = self.run.job, self.deps.clock.now()
        self.state = ImportState(
            job.dataset_name,
            job.size_bytes,
            created_at=now,
            updated_at=now,
            restart_count=self.run.restart_count,
        )

    async def progress(self, seen: Progress) -> None:
        """Shows the figures, at most once a second."""
        stage = _STAGES[seen.stage]
        due = time.monotonic() - self._shown_at >= _PROGRESS_EVERY_S or stage is not self.state.stage
        self.state = self._next(
            stage=stage,
            percent=seen.percent,
            read_bytes=seen.read_bytes,
            image_count=seen.image_count,
            record_count=seen.record_count,
            error_count=seen.error_count,
            warning_count=seen.warning_count,
        )
        if due:
            self._shown_at = time.monotonic()
            await self.run.progress(self.state)

    async def put(self, shard: Shard) -> None:
        """Uploads a finished shard and frees its scratch space."""
        owner = self.run.job.owner
        stored = [
            await self.deps.storage.put(file, file.path.name, owner)
            for file in (shard.examples, shard.preview)
        ]
        self.shards.append(
            StoredShard(shard.index, shard.row_count, shard.split_counts, stored[0], stored[1])
        )
        faults.point("import.shard_stored")
        for file in (shard.examples, shard.preview):
            file.path.unlink()

    async def refuse(self, outcome: Outcome) -> None:
        """Keeps the report, shows it, and ends the operation with its first problems."""
        job = self.run.job
        async with self.deps.unit_of_work() as uow:
            await uow.reports.save(self._report(outcome, version=""))
            await uow.commit()
        await self.run.progress(self._done(outcome))
        raise ImportRefused(outcome.report, job.report)

    async def commit(self, outcome: Outcome, made: ingest.Version) -> None:
        """Makes the version visible and ends the operation, in one transaction."""
        job, now = self.run.job, self.deps.clock.now()
        await self.run.progress(self._next(stage=Stage.COMMITTING, percent=99))
        faults.point("import.before_commit")
        async with self.deps.unit_of_work() as uow:
            dataset = await uow.datasets.get(job.project, job.dataset, lock=True)
            newest = None
            if dataset.latest_version:
                newest = await uow.versions.get(job.project, job.dataset, dataset.latest_version)
            if newest is not None and newest.digest == made.digest:
                version = newest
            else:
                number = dataset.latest_version + 1
                version = _version(job, made, number, self.shards, now)
                await uow.versions.add(version, made.statistics)
                await uow.datasets.save(dataset.with_version(number, now))
            await uow.reports.save(self._report(outcome, version=version.name))
            done = replace(self._done(outcome), unchanged=version is newest)
            await self.run.finish(uow.session, version, done)
            await uow.commit()
        faults.point("import.committed")
        log.info(
            "version_committed", version=version.name, unchanged=version is newest, digest=version.digest
        )

    def _report(self, outcome: Outcome, version: str) -> StoredReport:
        job = self.run.job
        return StoredReport(job.project, job.dataset, job.id, outcome.report, version, self.deps.clock.now())

    def _done(self, outcome: Outcome) -> ImportState:
        report = outcome.report
        return self._next(
            stage=Stage.DONE,
            percent=100,
            validation_report=self.run.job.report,
            record_count=report.record_count,
            error_count=report.error_count,
            warning_count=report.warning_count,
        )

    @property
    def _next(self) -> Callable[..., ImportState]:
        return lambda **changes: replace(self.state, updated_at=self.deps.clock.now(), **changes)


def _version(
    job: ImportJob, made: ingest.Version, number: int, shards: list[StoredShard], now: Any
) -> Version:
    return Version(
        project=job.project,
        dataset=job.dataset,
        number=number,
        digest=made.digest,
        manifest_sha256=made.manifest_sha256,
        format=made.format,
        kinds=tuple(kind.value for kind in made.kinds),
        example_count=made.statistics.example_count,
        image_count=made.statistics.image_count,
        size_bytes=made.size_bytes,
        split_counts=made.statistics.split_counts,
        report_id=job.id,
        source_filename=job.filename,
        source_sha256=job.sha256,
        owner=job.owner,
        row_splits=made.row_splits,
        shards=tuple(shards),
        created_at=now,
    )
