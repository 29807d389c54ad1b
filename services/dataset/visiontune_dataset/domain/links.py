"""Links to pictures: what one leads to, and when it ends."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class ImageLink:
    """A picture of an example.

    The digest is part of it: a version that later takes the name of a deleted one is not what was shared.
    """

    version: str  # resource name
    digest: str  # the first 16 characters of the version's manifest_sha256
    row: int
    image: int | None  # place in the example; None: the thumbnail


def ends_at(now: datetime, ttl: timedelta) -> datetime:
    """Returns when links end that shall work for `ttl`: rounded up to a multiple of half of it.

    So that who asks twice gets the same links for a while, and caches keep one picture under one address.
    """
    step = ttl / 2
    start = datetime.fromtimestamp(0, UTC)
    return start + -((start - (now + ttl)) // step) * step
