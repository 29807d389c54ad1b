"""Jobs by name, in a transaction that goes on."""

from visiontune_trainer.domain.job import Job
from visiontune_trainer.domain.problems import JobNotFound
from visiontune_trainer.ports import UnitOfWork


async def existing_job(uow: UnitOfWork, name: str) -> Job:
    """Returns the job. Raises JobNotFound."""
    job = await uow.jobs.get(name)
    if job is None:
        raise JobNotFound(name)
    return job


async def locked_job(uow: UnitOfWork, name: str) -> Job:
    """Returns the job, held until the transaction ends. Raises JobNotFound."""
    job = await uow.jobs.lock(name)
    if job is None:
        raise JobNotFound(name)
    return job
