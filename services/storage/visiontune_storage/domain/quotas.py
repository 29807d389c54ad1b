"""How much a project may keep, and the arithmetic that never exceeds it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from visiontune_storage.domain.failures import (
    QuotaExceeded,
    StaleEtag,
    TooManyObjects,
    TooManyUploads,
    UnknownMaskPath,
)

# Limits by the field of Quota that holds them. The dataset service enforces the last two.
LIMITS = ("limit_bytes", "limit_objects", "limit_pending_uploads", "limit_datasets", "limit_images")


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits and their use: at all times used + reserved <= limit, unless the limit was lowered later."""

    project: str
    limit_bytes: int
    used_bytes: int = 0  # of objects
    reserved_bytes: int = 0  # by pending uploads
    object_count: int = 0
    limits_version: int = 0  # 0: the defaults; grows when an operator changes the limits
    limit_objects: int = 100_000
    limit_pending_uploads: int = 1_000
    limit_datasets: int | None = None  # None: the dataset service's own default
    limit_images: int | None = None  # likewise
    pending_upload_count: int = 0
    alerted: Mapping[str, int] = field(default_factory=dict)  # limit: the highest share told, in percent

    @property
    def name(self) -> str:
        """Resource name."""
        return f"projects/{self.project}/quota"

    @property
    def free_bytes(self) -> int:
        """What an upload could still reserve."""
        return max(0, self.limit_bytes - self.used_bytes - self.reserved_bytes)

    def reserved(self, size_bytes: int) -> "Quota":
        """Keeps room for an upload. Raises QuotaExceeded, TooManyObjects, TooManyUploads."""
        if size_bytes > self.free_bytes:
            raise QuotaExceeded(self.project, size_bytes, self.free_bytes, self.limit_bytes)
        if self.pending_upload_count >= self.limit_pending_uploads:
            raise TooManyUploads(self.project, self.limit_pending_uploads)
        if self.object_count + self.pending_upload_count >= self.limit_objects:
            raise TooManyObjects(self.project, self.limit_objects)
        return replace(
            self,
            reserved_bytes=self.reserved_bytes + size_bytes,
            pending_upload_count=self.pending_upload_count + 1,
        )

    def released(self, size_bytes: int) -> "Quota":
        """The upload ended without an object."""
        return replace(
            self,
            reserved_bytes=self.reserved_bytes - size_bytes,
            pending_upload_count=self.pending_upload_count - 1,
        )

    def settled(self, size_bytes: int) -> "Quota":
        """The upload became an object. Raises QuotaExceeded when the limit was lowered below it meanwhile."""
        if self.used_bytes + size_bytes > self.limit_bytes:
            free_bytes = max(0, self.limit_bytes - self.used_bytes)
            raise QuotaExceeded(self.project, size_bytes, free_bytes, self.limit_bytes)
        return replace(
            self.released(size_bytes),
            used_bytes=self.used_bytes + size_bytes,
            object_count=self.object_count + 1,
        )

    def freed(self, size_bytes: int, object_count: int) -> "Quota":
        """Objects were deleted."""
        return replace(
            self,
            used_bytes=self.used_bytes - size_bytes,
            object_count=self.object_count - object_count,
        )

    def limited(self, etag: str) -> "Quota":
        """With other limits from now on. Raises StaleEtag unless `etag` is empty or this one's.

        A limit below what is used already deletes nothing; it only refuses more.
        """
        if etag and etag != self.etag:
            raise StaleEtag(self.name)
        return replace(self, limits_version=self.limits_version + 1)

    @property
    def etag(self) -> str:
        """Changes with every change of the limits."""
        return f"v{self.limits_version}"


def check_limits(paths: list[str]) -> None:
    """Raises UnknownMaskPath unless each names a limit."""
    for path in paths:
        if path not in LIMITS:
            raise UnknownMaskPath(path, LIMITS)
