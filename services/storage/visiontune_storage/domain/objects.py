"""Verified, immutable bytes in the bucket."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from visiontune_storage.domain.failures import OwnerOutsideProject, OwnerReserved


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object and where its bytes are."""

    project: str
    id: str
    filename: str
    size_bytes: int
    sha256: str
    content_type: str
    owner: str
    key: str
    created_at: datetime
    purge_at: datetime | None = None  # set when it is deleted and can be brought back until then

    @property
    def name(self) -> str:
        """Resource name."""
        return f"projects/{self.project}/objects/{self.id}"


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What the bucket has at a key, or the parts of an upload to it."""

    key: str
    size_bytes: int
    put_at: datetime  # by the store's clock
    store_upload_id: str = ""  # of parts


@dataclass(frozen=True, slots=True)
class Garbage:
    """Bytes that no row names any more and that the bucket may still hold.

    Written in the transaction that gives the bytes up, so that no crash can orphan them. A PUT may be on
    its way while they are deleted, so they are deleted once more when the last signed URL is dead.
    """

    key: str
    from_upload: bool  # parts may be there, not only an object
    store_upload_id: str  # empty when the object store was not asked, or has answered to nobody
    due_at: datetime  # when to delete next
    keep_until: datetime  # the last deletion is not before then

    # Long, so that what is refused for good is asked about seldom.
    REFUSED_FOR = timedelta(minutes=10)

    def after_refusal(self, now: datetime) -> "Garbage":
        """To be tried again later: the store would not delete it, and others must not wait for it."""
        return replace(self, due_at=now + self.REFUSED_FOR)

    def after_purge(self, now: datetime) -> "Garbage | None":
        """What is left to do once the bytes were deleted at `now`; None for nothing."""
        return None if now >= self.keep_until else replace(self, due_at=self.keep_until)


def check_owner(owner: str, project: str, field: str) -> None:
    """Raises OwnerOutsideProject unless `owner` is a resource of the project, or empty."""
    if owner and not owner.startswith(f"projects/{project}/"):
        raise OwnerOutsideProject(field, project)


def check_users_own(owner: str, project: str) -> None:
    """Raises OwnerReserved unless an upload, or nobody yet, is the owner: a user makes and deletes no others.

    Versions, checkpoints and models stay whole: their bytes go with them only.
    """
    if owner and not owner.startswith(f"projects/{project}/uploads/"):
        raise OwnerReserved(owner)
