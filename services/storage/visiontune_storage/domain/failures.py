"""Every way in which a storage call can fail; the class name is the reason that programs see."""

from collections.abc import Sequence

from visiontune_kit import errors


class UploadNotFound(errors.NotFound):
    """No such upload in this project."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} does not exist.", resource=name)


class ObjectNotFound(errors.NotFound):
    """No such object in this project."""

    def __init__(self, name: str, others: int = 0) -> None:
        more = f", nor do {others:,} others" if others else ""
        super().__init__(f"{name} does not exist{more}.", resource=name)


class OwnerOutsideProject(errors.InvalidArgument):
    """An owner is a resource of the caller's project."""

    def __init__(self, field: str, project: str) -> None:
        rule = f"must be a resource name below projects/{project}/"
        super().__init__(
            f"{field} {rule}.", violations=[errors.Violation(field, rule, "OwnerOutsideProject")]
        )


class OwnerReserved(errors.PermissionDenied):
    """What a resource keeps is made and deleted by its service, with the resource."""

    def __init__(self, owner: str) -> None:
        super().__init__(
            f"Objects of {owner} belong to its service: delete {owner} itself, and upload without an owner.",
            resource=owner,
        )


class ContentTypeInvalid(errors.InvalidArgument):
    """A content type is sent to the object store as a header."""

    def __init__(self) -> None:
        field, rule = "upload.content_type", "must look like image/png: printable ASCII, one slash"
        super().__init__(f"{field} {rule}.", violations=[errors.Violation(field, rule, "ContentTypeInvalid")])


class QuotaExceeded(errors.ResourceExhausted):
    """The upload does not fit into the project's quota, or no longer does."""

    def __init__(self, project: str, needed_bytes: int, free_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"Needs {needed_bytes:,} bytes; {free_bytes:,} are free. "
            "Delete versions or jobs, or ask an operator for more.",
            resource=f"projects/{project}/quota",
            metadata={
                "needed_bytes": str(needed_bytes),
                "free_bytes": str(free_bytes),
                "limit_bytes": str(limit_bytes),
            },
        )


class TooManyObjects(errors.ResourceExhausted):
    """The project has as many objects as it may, pending uploads included."""

    def __init__(self, project: str, limit: int) -> None:
        super().__init__(
            f"The project may have {limit:,} objects, and pending uploads count. "
            "Delete versions or jobs, or ask an operator for more.",
            resource=f"projects/{project}/quota",
            metadata={"limit_objects": str(limit)},
        )


class TooManyUploads(errors.ResourceExhausted):
    """The project has as many uploads in flight as it may."""

    def __init__(self, project: str, limit: int) -> None:
        super().__init__(
            f"The project may have {limit:,} uploads in flight. Complete or abort some, "
            "or ask an operator for more.",
            resource=f"projects/{project}/quota",
            metadata={"limit_pending_uploads": str(limit)},
        )


class UnknownMaskPath(errors.InvalidArgument):
    """A mask that names no limit of a quota."""

    def __init__(self, path: str, known: Sequence[str]) -> None:
        rule = f"names {path!r}; the limits are {', '.join(known)}"
        super().__init__(
            f"update_mask {rule}.", violations=[errors.Violation("update_mask", rule, "UnknownMaskPath")]
        )


class EgressNotCounted(errors.FailedPrecondition):
    """Nobody says what the object store sends."""

    def __init__(self) -> None:
        super().__init__(
            "What the object store sends is not counted here: for that VISIONTUNE_STORAGE_S3_METRICS_PAGES "
            "names the page on which the store reports it, as SeaweedFS and MinIO do. Others tell it on "
            "their bill."
        )


class SpanBackwards(errors.InvalidArgument):
    """A span ends before it starts."""

    def __init__(self) -> None:
        message = "end_time is not after start_time."
        super().__init__(message, violations=[errors.Violation("end_time", message, "SpanBackwards")])


class TooLargeForOneCall(errors.InvalidArgument):
    """A file that UploadBytes does not take."""

    def __init__(self, limit_bytes: int) -> None:
        rule = f"is above {limit_bytes:,}, the most that one call takes. Upload it by CreateUpload"
        super().__init__(
            f"size_bytes {rule}.", violations=[errors.Violation("size_bytes", rule, "TooLargeForOneCall")]
        )


class FileEmpty(errors.InvalidArgument):
    """A file without a byte, which nothing can be made of."""

    def __init__(self, filename: str) -> None:
        super().__init__(f"{filename}: no bytes arrived. Send the file behind the first message.")


class TooMuchInFlight(errors.Unavailable):
    """The server holds as many bytes of files on their way as it may."""

    def __init__(self) -> None:
        super().__init__("The server is receiving as many small files as it can hold. Retry in a moment.")


class StaleEtag(errors.Aborted):
    """Somebody else changed it first."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} has changed since it was read. Read it again and retry.", resource=name)


class UploadNotPending(errors.FailedPrecondition):
    """The upload has already ended in another way."""

    def __init__(self, name: str, state: str) -> None:
        super().__init__(
            f"{name} is {state}, not PENDING. Start again with CreateUpload.",
            resource=name,
            metadata={"state": state},
        )


class UploadComplete(errors.FailedPrecondition):
    """What is complete cannot be aborted; its object can be deleted."""

    def __init__(self, name: str, object_name: str) -> None:
        super().__init__(
            f"{name} is COMPLETE. Delete {object_name} with DeleteObjects instead.", resource=name
        )


class PartsMissing(errors.FailedPrecondition):
    """The object store does not have every part yet."""

    def __init__(self, name: str, numbers: Sequence[int], of: int) -> None:
        shown = ", ".join(map(str, numbers[:20])) + (", …" if len(numbers) > 20 else "")
        super().__init__(
            f"{name}: {len(numbers):,} of {of:,} parts have not arrived: {shown}. "
            "PUT them to the URLs of GetUpload, then complete again.",
            resource=name,
            metadata={"missing_parts": shown},
        )


class PartMismatch(errors.FailedPrecondition):
    """The caller's ETags are not those of the parts that the object store has."""

    def __init__(self, name: str, numbers: Sequence[int]) -> None:
        shown = ", ".join(map(str, numbers[:20])) + (", …" if len(numbers) > 20 else "")
        super().__init__(
            f"{name}: the object store has other bytes than you named for parts {shown}. "
            "PUT them again, or leave `parts` empty to take what has arrived.",
            resource=name,
            metadata={"parts": shown},
        )


class PartTooSmall(errors.FailedPrecondition):
    """Every part but the last has a least size in S3."""

    def __init__(self, name: str, part_size_bytes: int) -> None:
        super().__init__(
            f"{name}: the object store refuses a part that is too small. PUT exactly {part_size_bytes:,} "
            "bytes to each URL but the last.",
            resource=name,
        )


class SizeMismatch(errors.DataLoss):
    """More or fewer bytes arrived than were declared."""

    def __init__(self, name: str, declared: int, found: int) -> None:
        super().__init__(
            f"{name}: {declared:,} bytes were declared, {found:,} arrived. They were deleted; upload again.",
            resource=name,
            metadata={"declared_bytes": str(declared), "found_bytes": str(found)},
        )


class DigestMismatch(errors.DataLoss):
    """Other bytes arrived than were declared."""

    def __init__(self, name: str, declared: str, found: str) -> None:
        super().__init__(
            f"{name}: sha256 {declared} was declared, {found} arrived. The bytes were deleted; upload again.",
            resource=name,
            metadata={"declared_sha256": declared, "found_sha256": found},
        )


class ObjectStoreUnavailable(errors.Unavailable):
    """The object store does not answer, or refuses to serve us.

    answered: it spoke, so that it may well do what else it is asked.
    """

    def __init__(self, what: str, *, answered: bool = False) -> None:
        super().__init__(f"The object store is not available: {what}. Retry in a moment.")
        self.answered = answered
