"""An upload: bytes on their way into the bucket, from reservation to verified object.

Every upload is one S3 multipart upload, of a single part when it is small. A part's signed URL dies with
the multipart upload, so once the bytes are verified nobody can PUT others in their place; the URL of a
plain PUT would stay good until it expires.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from visiontune_storage.domain.failures import (
    ContentTypeInvalid,
    DigestMismatch,
    PartMismatch,
    PartsMissing,
    SizeMismatch,
    UploadComplete,
    UploadNotPending,
)
from visiontune_storage.domain.objects import StoredObject

MIB = 1024 * 1024
# S3 takes 10,000 parts; with this many a reply with all their URLs stays well below gRPC's 4 MB, and the
# largest object of S3, 5 TiB, still has parts below its limit of 5 GiB.
MOST_PARTS = 2_000
_CONTENT_TYPE = re.compile(r"[!-~]+/[!-~]+(; ?[!-~]+)*")


class State(StrEnum):
    """Where an upload stands."""

    PENDING = "PENDING"
    COMPLETE = "COMPLETE"
    ABORTED = "ABORTED"
    EXPIRED = "EXPIRED"


ALLOWED: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.COMPLETE, State.ABORTED, State.EXPIRED}),
    State.COMPLETE: frozenset(),
    State.ABORTED: frozenset(),
    State.EXPIRED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class ReceivedPart:
    """A part that the object store has."""

    number: int  # from 1
    etag: str  # without quotes
    size_bytes: int
    put_at: datetime  # by the store's clock, to the second


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload; `version` grows with every change and is its etag."""

    project: str
    id: str
    filename: str
    size_bytes: int
    sha256: str  # lower-case hex, as declared
    content_type: str
    owner: str  # resource name; the upload's own when nobody else was named
    key: str  # in the bucket
    part_size_bytes: int
    created_at: datetime
    expires_at: datetime
    state: State = State.PENDING
    store_upload_id: str = ""  # the object store's name for it; empty until it was started there
    version: int = 1

    @property
    def name(self) -> str:
        """Resource name."""
        return f"projects/{self.project}/uploads/{self.id}"

    @property
    def object_name(self) -> str:
        """Resource name of the object that it becomes: the same id, so that no two can come of it."""
        return f"projects/{self.project}/objects/{self.id}"

    @property
    def part_count(self) -> int:
        """Parts in all, at least one."""
        return -(-self.size_bytes // self.part_size_bytes)

    def started(self, store_upload_id: str) -> "Upload":
        """The object store knows it now; "" when it has forgotten it."""
        return self._changed(store_upload_id=store_upload_id)

    def aborted(self) -> "Upload":
        """Given up. Raises UploadComplete, UploadNotPending."""
        if self.state is State.COMPLETE:
            raise UploadComplete(self.name, self.object_name)
        return self._moved(State.ABORTED)

    def expired(self) -> "Upload":
        """Not completed in time. Raises UploadNotPending."""
        return self._moved(State.EXPIRED)

    def completed(self, at: datetime) -> tuple["Upload", StoredObject]:
        """Its bytes are verified: the upload, ended, and its object. Raises UploadNotPending."""
        made = StoredObject(
            project=self.project,
            id=self.id,
            filename=self.filename,
            size_bytes=self.size_bytes,
            sha256=self.sha256,
            content_type=self.content_type,
            owner=self.owner,
            key=self.key,
            created_at=at,
        )
        return self._moved(State.COMPLETE), made

    def check_pending(self) -> None:
        """Raises UploadNotPending when it has ended."""
        if self.state is not State.PENDING:
            raise UploadNotPending(self.name, self.state.value)

    def chosen_parts(self, received: Sequence[ReceivedPart], named: Mapping[int, str]) -> list[ReceivedPart]:
        """Returns one part a number, in order, of those that the object store has.

        named: ETags that the caller knows by part number, maybe none. Some stores list each PUT of a part
        that was put more than once: the one that the caller names is meant, else one of the right size,
        else the latest.
        """

        def merit(part: ReceivedPart) -> tuple[bool, bool, datetime]:
            right_etag = named.get(part.number) == part.etag
            return right_etag, part.size_bytes == self._size_of_part(part.number), part.put_at

        chosen: dict[int, ReceivedPart] = {}
        for part in sorted(received, key=merit):
            chosen[part.number] = part
        return [chosen[number] for number in sorted(chosen)]

    def check_parts(self, chosen: Sequence[ReceivedPart], named: Mapping[int, str]) -> None:
        """Raises PartsMissing, PartMismatch, or SizeMismatch for what can be seen before assembling."""
        etags = {part.number: part.etag for part in chosen}
        expected = range(1, self.part_count + 1)
        if missing := [number for number in expected if number not in etags]:
            raise PartsMissing(self.name, missing, of=self.part_count)
        if wrong := sorted(number for number, etag in named.items() if etags.get(number) != etag):
            raise PartMismatch(self.name, wrong)
        self.check_size(sum(part.size_bytes for part in chosen))

    def check_size(self, found: int) -> None:
        """Raises SizeMismatch."""
        if found != self.size_bytes:
            raise SizeMismatch(self.name, self.size_bytes, found)

    def check_digest(self, found: str) -> None:
        """Raises DigestMismatch."""
        if found != self.sha256:
            raise DigestMismatch(self.name, self.sha256, found)

    def _size_of_part(self, number: int) -> int:
        return min(self.part_size_bytes, self.size_bytes - (number - 1) * self.part_size_bytes)

    def _moved(self, state: State) -> "Upload":
        if state not in ALLOWED[self.state]:
            raise UploadNotPending(self.name, self.state.value)
        return self._changed(state=state)

    def _changed(self, **changes: object) -> "Upload":
        return replace(self, version=self.version + 1, **changes)  # type: ignore[arg-type] # our own fields


@dataclass(frozen=True, slots=True)
class PartPlan:
    """How large parts are: the operator's choice."""

    single_limit_bytes: int = 64 * MIB
    part_size_bytes: int = 32 * MIB

    def part_size_for(self, size_bytes: int) -> int:
        """Bytes in each part but the last: equal parts, at most MOST_PARTS of them, whole MiB."""
        if size_bytes <= self.single_limit_bytes:
            return size_bytes
        least = -(-size_bytes // MOST_PARTS)
        return max(self.part_size_bytes, -(-least // MIB) * MIB)


@dataclass(frozen=True, slots=True)
class SigningWindow:
    """From when until when a signed URL works.

    It begins a little in the past, for object stores whose clock is late.
    """

    start: datetime
    end: datetime

    BACKDATED = timedelta(minutes=5)
    LONGEST = timedelta(days=7)  # S3 refuses more

    @classmethod
    def of(cls, now: datetime, ttl: timedelta) -> "SigningWindow":
        """Works from now for `ttl`, as far as S3 allows."""
        start = now - cls.BACKDATED
        return cls(start, min(now + ttl, start + cls.LONGEST))


def check_content_type(content_type: str) -> None:
    """Raises ContentTypeInvalid unless it can be sent as a header, or is empty."""
    if content_type and not _CONTENT_TYPE.fullmatch(content_type):
        raise ContentTypeInvalid
