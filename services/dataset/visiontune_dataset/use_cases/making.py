"""One try at making a version: shows progress, uploads shards, and makes it visible in one transaction."""

import shutil
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from visiontune_data import ingest
from visiontune_data.ingest import Progress
from visiontune_data.report import Report
from visiontune_data.shards import Shard
from visiontune_data.version import Version as MadeVersion
from visiontune_kit import faults, logs

from visiontune_dataset.domain.datasets import Dataset, StoredShard, Version
from visiontune_dataset.domain.failures import ImportRefused
from visiontune_dataset.domain.imports import ImportState, Stage
from visiontune_dataset.domain.work import MakesVersion
from visiontune_dataset.ports import Deps, VersionRun
from visiontune_dataset.ports.database import StoredReport, UnitOfWork

J = TypeVar("J", bound=MakesVersion)
_PROGRESS_EVERY_S = 1.0
_STAGES = {ingest.Stage.READING: Stage.READING, ingest.Stage.WRITING: Stage.WRITING}
log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a version is made of."""

    filename: str = ""
    sha256: str = ""
    uploads: tuple[str, ...] = ()
    parent: int = 0
    draft: str = ""


def scratch_of(job: MakesVersion, deps: Deps) -> Path:
    """The folder of the process that makes a version."""
    return deps.rules.scratch / "imports" / f"{job.project}-{job.dataset}-{job.id}"


@contextmanager
def empty_scratch(job: MakesVersion, deps: Deps) -> Iterator[Path]:
    """That folder, without what an earlier try left there; gone afterwards."""
    folder = scratch_of(job, deps)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(slots=True)
class Making(Generic[J]):
    """What one try has done so far."""

    run: VersionRun[J]
    deps: Deps
    total_bytes: int
    state: ImportState = field(init=False)
    shards: dict[int, StoredShard] = field(default_factory=dict)  # those that were put, by index
    problems: tuple[bytes, ...] = ()  # pages of the log of all problems
    _shown_at: float = 0.0
    _unsaved: Report | None = None

    def __post_init__(self) -> None:
        now = self.deps.clock.now()
        self.state = ImportState(
            self.run.job.dataset_name,
            self.total_bytes,
            created_at=now,
            updated_at=now,
            restart_count=self.run.restart_count,
        )

    async def progress(self, seen: Progress) -> None:
        """Shows the figures, and what was found so far, at most once a second."""
        self._unsaved = seen.report or self._unsaved
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
            if self._unsaved:
                self.state = self._next(validation_report=self.run.job.report)
            await self.run.progress(self.state)
            await self._save_so_far()

    async def _save_so_far(self) -> None:
        if self._unsaved:
            async with self.deps.unit_of_work() as uow:
                await uow.reports.save(replace(self._stored(self._unsaved, version=""), in_progress=True))
                await uow.commit()
            self._unsaved = None

    async def put(self, shard: Shard) -> None:
        """Uploads a finished shard and frees its scratch space."""
        owner = self.run.job.owner
        stored = [
            await self.deps.storage.put(file, file.path.name, owner)
            for file in (shard.examples, shard.preview)
        ]
        self.shards[shard.index] = StoredShard(
            shard.index, shard.row_count, shard.split_counts, stored[0], stored[1]
        )
        faults.point("import.shard_stored")
        for file in (shard.examples, shard.preview):
            file.path.unlink()

    async def refuse(self, report: Report) -> None:
        """Keeps the report, shows it, and ends the operation with its first problems."""
        async with self.deps.unit_of_work() as uow:
            await uow.reports.save(self._stored(report, version=""))
            await uow.commit()
        await self.run.progress(self._done(report))
        raise ImportRefused(report, self.run.job.report)

    async def commit(
        self,
        report: Report,
        made: MadeVersion,
        origin: Origin,
        shared: Mapping[int, StoredShard] | None = None,
        also: Callable[[UnitOfWork, Dataset], Awaitable[None]] | None = None,
    ) -> None:
        """Makes the version visible and ends the operation, in one transaction.

        `shared` are its shards that another version has, too, by index. `also` takes part in the transaction,
        with the dataset as it was; what it raises ends it.
        """
        job, now = self.run.job, self.deps.clock.now()
        await self.run.progress(self._next(stage=Stage.COMMITTING, percent=99))
        faults.point("import.before_commit")
        async with self.deps.unit_of_work() as uow:
            dataset = await uow.datasets.get(job.project, job.dataset, lock=True)
            if also:
                await also(uow, dataset)
            newest = None
            if dataset.latest_version:
                newest = await uow.versions.get(job.project, job.dataset, dataset.latest_version)
            if newest is not None and newest.digest == made.digest:
                version = newest
            else:
                dataset = dataset.with_version(now)
                version = self._version(made, origin, {**self.shards, **(shared or {})}, dataset)
                await uow.versions.add(version, made.statistics)
                await uow.datasets.save(dataset)
            await uow.reports.save(self._stored(report, version=version.name))
            done = replace(self._done(report), unchanged=version is newest)
            await self.run.finish(uow.session, version, done)
            await uow.commit()
        faults.point("import.committed")
        log.info(
            "version_committed", version=version.name, unchanged=version is newest, digest=version.digest
        )

    def _version(
        self, made: MadeVersion, origin: Origin, shards: Mapping[int, StoredShard], dataset: Dataset
    ) -> Version:
        job = self.run.job
        return Version(
            project=job.project,
            dataset=job.dataset,
            number=dataset.latest_version,
            digest=made.digest,
            manifest_sha256=made.manifest_sha256,
            format=made.format,
            kinds=tuple(kind.value for kind in made.kinds),
            example_count=made.statistics.example_count,
            image_count=made.statistics.image_count,
            size_bytes=made.size_bytes,
            split_counts=made.statistics.split_counts,
            report_id=job.id,
            source_filename=origin.filename,
            source_sha256=origin.sha256,
            owner=job.owner,
            row_splits=made.row_splits,
            shards=tuple(shards[index] for index in range(len(made.shards))),
            created_at=dataset.updated_at,
            parent=origin.parent,
            draft=origin.draft,
            uploads=origin.uploads,
        )

    def _stored(self, report: Report, version: str) -> StoredReport:
        job = self.run.job
        now = self.deps.clock.now()
        return StoredReport(job.project, job.dataset, job.id, report, version, now, pages=self.problems)

    def _done(self, report: Report) -> ImportState:
        return self._next(
            stage=Stage.DONE,
            percent=100,
            validation_report=self.run.job.report,
            record_count=report.record_count,
            error_count=report.error_count,
            warning_count=report.warning_count,
            format_reason=report.format_reason,
            saved_bytes=report.saved_bytes,
        )

    def _next(self, **changes: Any) -> ImportState:
        return replace(self.state, updated_at=self.deps.clock.now(), **changes)
