"""Reading and changing a project's limits; telling that they are nearly reached."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from opentelemetry import metrics
from visiontune_kit import idempotency, logs

from visiontune_storage.domain.alerts import Alert, watched
from visiontune_storage.domain.quotas import Quota
from visiontune_storage.ports import Deps, UnitOfWork

_alerts = metrics.get_meter("visiontune").create_counter(
    "storage_quota_alerts", description="Times that use rose to 80 or 100 percent of a limit."
)
log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class AlertPage:
    """Some alerts, and where the next ones begin."""

    alerts: Sequence[Alert]
    next_after: tuple[datetime, str] | None  # None at the end


async def get_quota(project: str, deps: Deps) -> Quota:
    """Returns limits and use; every project has them."""
    async with deps.unit_of_work() as uow:
        return await uow.quotas.get(project)


async def update_quota(project: str, limits: Mapping[str, int | None], etag: str, deps: Deps) -> Quota:
    """Sets limits, or the default where one is None. Raises StaleEtag when `etag` is given and another's."""
    async with deps.unit_of_work() as uow:
        quota = (await uow.quotas.lock(project)).limited(etag)
        await uow.quotas.save_limits(quota, limits)
        changed = await uow.quotas.get(project)
        await save_use(changed, uow, deps)
        await uow.commit()
    return changed


async def save_use(quota: Quota, uow: UnitOfWork, deps: Deps) -> None:
    """Writes what is used, and tells it where it reached a threshold; in the open transaction."""
    quota, due = watched(quota, deps.clock.now())
    await uow.quotas.save(quota)
    # Its share is in the id, so that of two at once the higher is the later one.
    await uow.alerts.add([replace(each, id=idempotency.new_id(f"alert-{each.percent:03}")) for each in due])
    for each in due:
        _alerts.add(1, {"limit": each.limit.value, "percent": each.percent})
        log.warning(
            "quota_alert",
            project=each.project,
            limit=each.limit.value,
            percent=each.percent,
            used=each.used,
            limit_value=each.limit_value,
        )


async def list_alerts(project: str, after: tuple[datetime, str] | None, limit: int, deps: Deps) -> AlertPage:
    """Returns up to `limit` alerts, newest first."""
    async with deps.unit_of_work() as uow:
        found = await uow.alerts.page(project, after, limit + 1)
    shown = found[:limit]
    return AlertPage(shown, (shown[-1].created_at, shown[-1].id) if len(found) > limit else None)
