"""What users read about a job: events, metrics, lines, logs, samples, checkpoints, artifacts."""

from collections.abc import Iterable

from visiontune_trainer.domain.folders import Folder, FolderState, newest_first
from visiontune_trainer.domain.job import Event, Job, project_of
from visiontune_trainer.domain.reports import LogLine, MetricPoint, Sample, SampleAnswer
from visiontune_trainer.ports import SignedUrl
from visiontune_trainer.use_cases.deps import Deps
from visiontune_trainer.use_cases.lookups import existing_job

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


async def list_samples(job: str, example: str, deps: Deps) -> list[Sample]:
    """Returns the samples in row order of their examples; only that of an example when one is named."""
    async with deps.unit_of_work() as uow:
        await existing_job(uow, job)
        found = await uow.records.samples(job)
    return [sample for sample in found if example in {"", sample.example}]


async def answers_to(samples: Iterable[Sample], deps: Deps) -> list[list[SampleAnswer]]:
    """Returns what the model said at each step, for each sample."""
    async with deps.unit_of_work() as uow:
        return [await uow.records.answers(sample.job, sample.example) for sample in samples]


async def list_checkpoints(job: str, deps: Deps) -> tuple[list[Folder], int | None]:
    """Returns the complete checkpoints, newest first, and the step of the best one."""
    found, folders = await _committed(job, deps)
    return newest_first([folder for folder in folders if folder.is_checkpoint]), found.best_step


async def list_artifacts(job: str, deps: Deps) -> list[tuple[Folder, dict[str, SignedUrl]]]:
    """Returns the artifacts by name, each with a signed URL by object."""
    folders = [folder for folder in (await _committed(job, deps))[1] if folder.is_artifact]
    return [(folder, await sign(folder, deps)) for folder in folders]


async def list_logs(job: str, deps: Deps) -> list[Folder]:
    """Returns the logs of the attempts that have ended, by attempt."""
    logs = [folder for folder in (await _committed(job, deps))[1] if folder.is_log]
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


async def _committed(job: str, deps: Deps) -> tuple[Job, list[Folder]]:
    async with deps.unit_of_work() as uow:
        found = await existing_job(uow, job)
        return found, await uow.folders.of(job, FolderState.COMMITTED)
