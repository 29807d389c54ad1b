"""Where a model came from, generation by generation, and what of that is still there."""

import asyncio
from collections.abc import Iterable

from visiontune_kit.errors import NotFound

from visiontune_trainer.domain.job import Job
from visiontune_trainer.domain.lineage import Generation, Seen, generation_of
from visiontune_trainer.ports import UnitOfWork
from visiontune_trainer.use_cases.deps import Deps


async def behind(uow: UnitOfWork, job: Job) -> tuple[Generation, ...]:
    """Returns the trainings before a job, newest first; of one that was deleted the name."""
    earlier, base = job.resolved.resume_from, job.resolved.base_model.model
    if earlier is not None:
        name = earlier.checkpoint.partition("/checkpoints/")[0]
        found = await uow.jobs.get(name)
        if found is None:
            return (Generation(training_job=name),)
        return (generation_of(found), *await behind(uow, found))
    if base is None:
        return ()
    model = await uow.models.get(base)
    return (Generation(model=base),) if model is None else model.lineage


async def look(lineage: tuple[Generation, ...], deps: Deps) -> list[Seen]:
    """Looks up what generations name. Raises Unavailable while the dataset service is."""
    digests = await _digests((each.dataset_version for each in lineage), deps)
    async with deps.unit_of_work() as uow:
        return [
            Seen(
                each,
                model_deleted=await _model_uid(uow, each.model) != each.model_uid,
                training_job_deleted=await _job_uid(uow, each.training_job) != each.training_job_uid,
                dataset_version_deleted=digests[each.dataset_version] != each.dataset_digest,
            )
            for each in lineage
        ]


async def _digests(versions: Iterable[str], deps: Deps) -> dict[str, str]:
    """Returns the digest of each version; empty for those that are gone."""
    names = sorted(set(versions))
    return dict(zip(names, await asyncio.gather(*(_digest(name, deps) for name in names)), strict=True))


async def _digest(version: str, deps: Deps) -> str:
    try:
        return (await deps.datasets.get_version(version)).digest if version else ""
    except NotFound:
        return ""


async def _model_uid(uow: UnitOfWork, name: str) -> str | None:
    """Returns the uid of the model of that name; None without one, empty without a name."""
    model = await uow.models.get(name) if name else None
    return model.uid if model else None if name else ""


async def _job_uid(uow: UnitOfWork, name: str) -> str | None:
    job = await uow.jobs.get(name) if name else None
    return job.uid if job else None if name else ""
