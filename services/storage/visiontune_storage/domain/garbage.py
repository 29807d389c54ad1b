"""What nobody needs any more: comparing the bucket with the database, and what a collection comes to."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Self

from visiontune_storage.domain.objects import StoredKey, StoredObject

KIND = "collect-garbage"  # of the durable operation
EVERYTHING = "-"  # instead of a project
MOST_NAMED = 100


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection, as the operation's row keeps it."""

    project: str  # or EVERYTHING
    id: str
    dry_run: bool
    created_at: str  # ISO 8601

    @property
    def parent(self) -> str:
        """`projects/{project}`."""
        return f"projects/{self.project}"

    @property
    def operation(self) -> str:
        """The operation's name."""
        return f"{self.parent}/operations/{self.id}"

    def to_bytes(self) -> bytes:
        """The collection as the operation's payload."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """The collection out of the operation's payload."""
        return cls(**json.loads(payload))


def scheduled(now: datetime, every: timedelta) -> Collection:
    """The collection of everything that is due by now; all replicas mean the same one."""
    slot = int(now.timestamp() // every.total_seconds())
    return Collection(EVERYTHING, f"collect-{slot}", dry_run=False, created_at=now.isoformat())


@dataclass(frozen=True, slots=True)
class Sum:
    """How many of something, and their bytes."""

    count: int = 0
    size_bytes: int = 0

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(self.count + other.count, self.size_bytes + other.size_bytes)

    @classmethod
    def of(cls, found: Sequence[StoredKey | StoredObject]) -> "Sum":
        """What they come to."""
        return cls(len(found), sum(each.size_bytes for each in found))


@dataclass(frozen=True, slots=True)
class Collected:
    """What was removed, or in a dry run would have been; see CollectGarbageResponse."""

    expired_uploads: Sum = Sum()
    purged_objects: Sum = Sum()
    orphans: Sum = Sum()
    young_orphans: Sum = Sum()
    orphan_upload_count: int = 0
    missing: Sum = Sum()
    missing_objects: tuple[str, ...] = ()
    unknown_folders: tuple[str, ...] = ()
    compared_count: int = 0

    def with_missing(self, missing: Sequence[StoredObject]) -> "Collected":
        """The same, and objects whose bytes are gone."""
        names = (*self.missing_objects, *(each.name for each in missing))
        return replace(self, missing=self.missing + Sum.of(missing), missing_objects=names[:MOST_NAMED])


@dataclass(frozen=True, slots=True)
class Compared:
    """One page of the bucket beside the same stretch of the database."""

    strangers: list[StoredKey] = field(default_factory=list)  # keys that no object has
    absent: list[StoredObject] = field(default_factory=list)  # objects whose key is not there
    count: int = 0  # keys of the bucket
    next_after: str | None = None  # where the next page begins; None at the end


def compare(keys: Sequence[StoredKey], objects: Sequence[StoredObject], limit: int) -> Compared:
    """Compares what the bucket and the database have behind one key, both in the order of bytes.

    limit: how many of each were asked for. Either may reach further than the other: only the stretch that
    both cover is compared, and the next page begins behind it.
    """
    full_ends = [page[-1].key for page in (keys, objects) if len(page) == limit]
    bound = min(full_ends, default=None)
    if bound is not None:
        keys = [each for each in keys if each.key <= bound]
        objects = [each for each in objects if each.key <= bound]
    known, there = {each.key for each in objects}, {each.key for each in keys}
    return Compared(
        strangers=[each for each in keys if each.key not in known],
        absent=[each for each in objects if each.key not in there],
        count=len(keys),
        next_after=bound,
    )


def split_by_age(
    strangers: Sequence[StoredKey], now: datetime, grace: timedelta
) -> tuple[list[StoredKey], list[StoredKey]]:
    """Those that are older than the grace period, and the others."""
    old = [each for each in strangers if each.put_at <= now - grace]
    return old, [each for each in strangers if each.put_at > now - grace]
