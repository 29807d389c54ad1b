"""When to tell that a quota is nearly, or wholly, used."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from visiontune_storage.domain.quotas import Quota

THRESHOLDS = (80, 100)  # percent
REARMED_BELOW = 5  # points: use that goes up and down around a threshold is told once


class Limit(StrEnum):
    """What is watched, as a quota's fields are called."""

    BYTES = "bytes"
    OBJECTS = "objects"
    PENDING_UPLOADS = "pending_uploads"


@dataclass(frozen=True, slots=True)
class Alert:
    """Use rose to a share of a limit."""

    project: str
    id: str  # empty until it is written down
    limit: Limit
    percent: int
    used: int
    limit_value: int
    created_at: datetime

    @property
    def name(self) -> str:
        """Resource name."""
        return f"projects/{self.project}/quotaAlerts/{self.id}"


def watched(quota: Quota, now: datetime) -> tuple[Quota, list[Alert]]:
    """Returns the quota with what has been told about it, and what is to be told now."""
    told, alerts = dict(quota.alerted), []
    for limit, used, value in _uses(quota):
        before = told.get(limit.value, 0)
        reached = max((each for each in THRESHOLDS if used * 100 >= each * value), default=0)
        if reached > before:
            alerts += [
                Alert(quota.project, "", limit, each, used, value, now)
                for each in THRESHOLDS
                if before < each <= reached
            ]
            told[limit.value] = reached
        elif used * 100 < (before - REARMED_BELOW) * value:
            told[limit.value] = reached
    return replace(quota, alerted=told), alerts


def _uses(quota: Quota) -> list[tuple[Limit, int, int]]:
    """Each limit with its use. One of 0 is not approached: everything is refused from the start."""
    uses = [
        (Limit.BYTES, quota.used_bytes + quota.reserved_bytes, quota.limit_bytes),
        (Limit.OBJECTS, quota.object_count + quota.pending_upload_count, quota.limit_objects),
        (Limit.PENDING_UPLOADS, quota.pending_upload_count, quota.limit_pending_uploads),
    ]
    return [(limit, used, value) for limit, used, value in uses if value > 0]
