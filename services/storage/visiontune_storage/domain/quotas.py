"""How much a project may keep, and the arithmetic that never exceeds it."""

from dataclasses import dataclass, replace

from visiontune_storage.domain.failures import QuotaExceeded, StaleEtag


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits and their use: at all times used + reserved <= limit, unless the limit was lowered later."""

    project: str
    limit_bytes: int
    used_bytes: int = 0  # of objects
    reserved_bytes: int = 0  # by pending uploads
    object_count: int = 0
    limits_version: int = 0  # 0: the defaults; grows when an operator changes the limits

    @property
    def name(self) -> str:
        """Resource name."""
        return f"projects/{self.project}/quota"

    @property
    def free_bytes(self) -> int:
        """What an upload could still reserve."""
        return max(0, self.limit_bytes - self.used_bytes - self.reserved_bytes)

    def reserved(self, size_bytes: int) -> "Quota":
        """Keeps room for an upload. Raises QuotaExceeded."""
        if size_bytes > self.free_bytes:
            raise QuotaExceeded(self.project, size_bytes, self.free_bytes, self.limit_bytes)
        return replace(self, reserved_bytes=self.reserved_bytes + size_bytes)

    def released(self, size_bytes: int) -> "Quota":
        """The upload ended without an object."""
        return replace(self, reserved_bytes=self.reserved_bytes - size_bytes)

    def settled(self, size_bytes: int) -> "Quota":
        """The upload became an object. Raises QuotaExceeded when the limit was lowered below it meanwhile."""
        if self.used_bytes + size_bytes > self.limit_bytes:
            free_bytes = max(0, self.limit_bytes - self.used_bytes)
            raise QuotaExceeded(self.project, size_bytes, free_bytes, self.limit_bytes)
        return replace(
            self,
            reserved_bytes=self.reserved_bytes - size_bytes,
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

    def limited(self, limit_bytes: int, etag: str) -> "Quota":
        """New limits. Raises StaleEtag unless `etag` is empty or this one's.

        A limit below what is used already deletes nothing; it only refuses more.
        """
        if etag and etag != self.etag:
            raise StaleEtag(self.name)
        return replace(self, limit_bytes=limit_bytes, limits_version=self.limits_version + 1)

    @property
    def etag(self) -> str:
        """Changes with every change of the limits."""
        return f"v{self.limits_version}"
