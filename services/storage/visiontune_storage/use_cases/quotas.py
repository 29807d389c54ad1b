"""Reading and changing a project's limits."""

from visiontune_storage.domain.quotas import Quota
from visiontune_storage.ports import Deps


async def get_quota(project: str, deps: Deps) -> Quota:
    """Returns limits and use; every project has them."""
    async with deps.unit_of_work() as uow:
        return await uow.quotas.get(project)


async def update_quota(project: str, limit_bytes: int, etag: str, deps: Deps) -> Quota:
    """Sets the limit. Raises StaleEtag when `etag` is given and another's."""
    async with deps.unit_of_work() as uow:
        quota = (await uow.quotas.lock(project)).limited(limit_bytes, etag)
        await uow.quotas.save(quota)
        await uow.commit()
    return quota
