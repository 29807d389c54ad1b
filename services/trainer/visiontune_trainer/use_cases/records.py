"""What users read about a job: events, metrics, lines, logs, samples, checkpoints, artifacts."""

from visiontune_trainer.domain.folders import Folder, FolderState, newest_first
from visiontune_trainer.domain.job import Event, project_of
from visiontune_trainer.domain.reports import LogLine, MetricPoint, Sample
from visiontune_trainer.ports import SignedUrl
from visiontune_trainer.use_cases.deps import Deps
from visiontune_trainer.use_cases.jobs import existing_job

_MOST_OBJECTS = 1_000


async def list_events(job: str, after: int, limit: int, deps: Deps) -> list[Event]:
    """Returns at most `limit` events after the sequence `after`. Raises JobNotFound, as all here."""
    async with deps.unit_of_work() as uow:
        await existing_job(uow, job)
        return await uow.records.events(job, after, limit)


async def list_metrics(job: str, after: int, limit: int, deps: Deps) -> list[MetricPoint]:
    """Returns at most `limit` points after the step `after`."""
    async with deps.unit_of_work() as uow:
        await existing_job(uow, job)
        return await uow.records.metrics(job, after, limit)


async def list_log_lines(job: str, after: int, limit: int, deps: Deps) -> list[LogLine]:
    """Returns at most `limit` lines after the sequence `after`."""
    async with deps.unit_of_work() as uow:
        await existing_job(uow, job)
        return await uow.records.log_lines(job, after, limit)


async def list_samples(job: str, deps: Deps) -> list[Sample]:
    """Returns the samples in row order of their examples."""
    async with deps.unit_of_work() as uow:
        await existing_job(uow, job)
        return await uow.records.samples(job)


async def list_checkpoints(job: str, deps: Deps) -> list[Folder]:
    """Returns the complete checkpoints, newest first."""
    return newest_first([folder for folder in await _committed(job, deps) if folder.is_checkpoint])


async def list_artifacts(job: str, deps: Deps) -> list[tuple[Folder, dict[str, SignedUrl]]]:
    """Returns the artifacts by name, each with a signed URL by object."""
    folders = [folder for folder in await _committed(job, deps) if folder.is_artifact]
    return [(folder, await sign(folder, deps)) for folder in folders]


async def list_logs(job: str, deps: Deps) -> list[Folder]:
    """Returns the logs of the attempts that have ended, by attempt."""
    logs = [folder for folder in await _committed(job, deps) if folder.is_log]
    return sorted(logs, key=lambda folder: folder.attempt)


async def sign(folder: Folder, deps: Deps) -> dict[str, SignedUrl]:
    """Returns a signed URL for each object of a folder."""
    return await sign_objects(project_of(folder.job), [file.object for file in folder.files], deps)


async def sign_objects(project: str, objects: list[str], deps: Deps) -> dict[str, SignedUrl]:
    """Returns a signed URL for each object, asking for as many at once as storage allows."""
    urls: dict[str, SignedUrl] = {}
    for start in range(0, len(objects), _MOST_OBJECTS):
        urls.update(await deps.storage.sign(project, objects[start : start + _MOST_OBJECTS]))
    return urls


async def _committed(job: str, deps: Deps) -> list[Folder]:
    async with deps.unit_of_work() as uow:
        await existing_job(uow, job)
        return await uow.folders.of(job, FolderState.COMMITTED)
