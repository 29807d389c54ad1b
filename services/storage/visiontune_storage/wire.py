"""Between proto messages and the domain; pure."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from google.protobuf.timestamp_pb2 import Timestamp
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune_kit.errors import InvalidArgument

from visiontune_storage.domain.alerts import Alert, Limit
from visiontune_storage.domain.egress import Egress
from visiontune_storage.domain.garbage import Collected, Collection, Sum
from visiontune_storage.domain.objects import StoredObject
from visiontune_storage.domain.quotas import LIMITS, Quota, check_limits
from visiontune_storage.domain.uploads import State
from visiontune_storage.domain.usage import OwnerKind, Usage
from visiontune_storage.use_cases.objects import Deleted, SignedRead
from visiontune_storage.use_cases.uploads import CreateUpload, SignedUpload

_STATES = {
    State.PENDING: pb.Upload.STATE_PENDING,
    State.COMPLETE: pb.Upload.STATE_COMPLETE,
    State.ABORTED: pb.Upload.STATE_ABORTED,
    State.EXPIRED: pb.Upload.STATE_EXPIRED,
}

_KINDS = {
    OwnerKind.UPLOAD: pb.OWNER_KIND_UPLOAD,
    OwnerKind.DATASET: pb.OWNER_KIND_DATASET,
    OwnerKind.JOB: pb.OWNER_KIND_JOB,
    OwnerKind.MODEL: pb.OWNER_KIND_MODEL,
    OwnerKind.OTHER: pb.OWNER_KIND_OTHER,
}
_LIMITS = {
    Limit.BYTES: pb.QuotaAlert.LIMIT_BYTES,
    Limit.OBJECTS: pb.QuotaAlert.LIMIT_OBJECTS,
    Limit.PENDING_UPLOADS: pb.QuotaAlert.LIMIT_PENDING_UPLOADS,
}


def project_of(name: str) -> str:
    """`projects/p/…` is of project `p`; the proto's rules have checked the form."""
    return name.split("/")[1]


def id_of(name: str) -> str:
    """The last segment."""
    return name.rpartition("/")[2]


def create_upload_from(request: pb.CreateUploadRequest, *, by_service: bool) -> CreateUpload:
    """Reads the request; output-only fields are ignored."""
    return CreateUpload(
        project=project_of(request.parent),
        filename=request.upload.filename,
        size_bytes=request.upload.size_bytes,
        sha256=request.upload.sha256,
        content_type=request.upload.content_type,
        owner=request.upload.owner,
        by_service=by_service,
    )


def upload_bytes_from(request: pb.UploadBytesRequest, *, by_service: bool) -> CreateUpload:
    """Reads the first message; a size of 0 is one that the caller does not know."""
    return CreateUpload(
        project=project_of(request.parent),
        filename=request.filename,
        size_bytes=request.size_bytes,
        sha256=request.sha256,
        content_type=request.body.content_type,
        owner=request.owner,
        by_service=by_service,
    )


def etags_from(parts: Iterable[pb.Part]) -> Mapping[int, str]:
    """ETags by part number, without quotes. Raises InvalidArgument for a number that comes twice."""
    etags: dict[int, str] = {}
    for part in parts:
        if part.part_number in etags:
            raise InvalidArgument(f"parts names part {part.part_number} twice.", reason="PartTwice")
        etags[part.part_number] = part.etag.strip('"')
    return etags


def upload_to(signed: SignedUpload) -> pb.Upload:
    """Writes the resource, with URLs where there are any."""
    upload = signed.upload
    expires = timestamp(signed.window.end) if signed.window else None
    return pb.Upload(
        name=upload.name,
        filename=upload.filename,
        size_bytes=upload.size_bytes,
        sha256=upload.sha256,
        content_type=upload.content_type,
        owner=upload.owner,
        state=_STATES[upload.state],
        part_size_bytes=upload.part_size_bytes,
        part_urls=[
            pb.PartUrl(part_number=number, url=url, expire_time=expires)
            for number, url in enumerate(signed.part_urls, start=1)
        ],
        received_parts=[
            pb.Part(part_number=part.number, etag=part.etag, size_bytes=part.size_bytes)
            for part in signed.received
        ],
        object=upload.object_name if upload.state is State.COMPLETE else "",
        create_time=timestamp(upload.created_at),
        expire_time=timestamp(upload.expires_at),
        etag=f"v{upload.version}",
    )


def object_to(stored: StoredObject) -> pb.Object:
    """Writes the resource."""
    return pb.Object(
        name=stored.name,
        filename=stored.filename,
        size_bytes=stored.size_bytes,
        sha256=stored.sha256,
        content_type=stored.content_type,
        owner=stored.owner,
        create_time=timestamp(stored.created_at),
        purge_time=timestamp(stored.purge_at) if stored.purge_at else None,
    )


def collect_metadata_to(job: Collection, compared_count: int) -> pb.CollectGarbageMetadata:
    """Writes how far a collection is."""
    return pb.CollectGarbageMetadata(
        parent=job.parent,
        dry_run=job.dry_run,
        create_time=timestamp(datetime.fromisoformat(job.created_at)),
        compared_count=compared_count,
    )


def collected_to(job: Collection, found: Collected) -> pb.CollectGarbageResponse:
    """Writes what a collection came to."""

    def sum_to(each: Sum) -> pb.CollectGarbageResponse.Sum:
        return pb.CollectGarbageResponse.Sum(count=each.count, size_bytes=each.size_bytes)

    freed_bytes = found.purged_objects.size_bytes + found.orphans.size_bytes
    return pb.CollectGarbageResponse(
        dry_run=job.dry_run,
        expired_uploads=sum_to(found.expired_uploads),
        purged_objects=sum_to(found.purged_objects),
        orphans=sum_to(found.orphans),
        young_orphans=sum_to(found.young_orphans),
        orphan_upload_count=found.orphan_upload_count,
        missing=sum_to(found.missing),
        missing_objects=found.missing_objects,
        unknown_folders=found.unknown_folders,
        freed_bytes=0 if job.dry_run else freed_bytes,
    )


def undo_window_from(request: pb.DeleteObjectsRequest) -> timedelta | None:
    """None when the objects are to be gone at once."""
    return request.undo_window.ToTimedelta() if request.HasField("undo_window") else None


def quota_to(quota: Quota) -> pb.Quota:
    """Writes the resource."""
    return pb.Quota(
        name=quota.name,
        limit_bytes=quota.limit_bytes,
        used_bytes=quota.used_bytes,
        reserved_bytes=quota.reserved_bytes,
        object_count=quota.object_count,
        pending_upload_count=quota.pending_upload_count,
        etag=quota.etag,
        limit_objects=quota.limit_objects,
        limit_pending_uploads=quota.limit_pending_uploads,
        limit_datasets=quota.limit_datasets,
        limit_images=quota.limit_images,
    )


def limits_from(request: pb.UpdateQuotaRequest) -> Mapping[str, int | None]:
    """Limits to change, None for the default. Raises UnknownMaskPath for a mask that names none."""
    quota, paths = request.quota, list(request.update_mask.paths)
    check_limits(paths)
    if not paths:
        return {path: value for path in LIMITS if (value := getattr(quota, path))}
    # limit_bytes has no presence: it is what it is.
    return {
        path: getattr(quota, path) if path == "limit_bytes" or quota.HasField(cast("Any", path)) else None
        for path in paths
    }


def alert_to(alert: Alert) -> pb.QuotaAlert:
    """Writes the resource."""
    return pb.QuotaAlert(
        name=alert.name,
        limit=_LIMITS[alert.limit],
        percent=alert.percent,
        used=alert.used,
        limit_value=alert.limit_value,
        create_time=timestamp(alert.created_at),
    )


def span_from(request: pb.GetUsageRequest | pb.GetEgressRequest) -> tuple[datetime | None, datetime | None]:
    """Start and end, None where the caller leaves them to us."""
    return (
        request.start_time.ToDatetime(UTC) if request.HasField("start_time") else None,
        request.end_time.ToDatetime(UTC) if request.HasField("end_time") else None,
    )


def egress_to(found: Egress) -> pb.GetEgressResponse:
    """Writes the answer."""
    days = [
        pb.GetEgressResponse.Day(start_time=timestamp(start), sent_bytes=size) for start, size in found.days
    ]
    return pb.GetEgressResponse(sent_bytes=found.sent_bytes, cost=found.cost, days=days)


def usage_to(usage: Usage) -> pb.GetUsageResponse:
    """Writes the answer."""
    return pb.GetUsageResponse(
        kinds=[
            pb.GetUsageResponse.Kind(
                kind=_KINDS[each.kind],
                size_bytes=each.size_bytes,
                object_count=each.object_count,
                gib_hours=each.gib_hours,
                cost=each.cost,
            )
            for each in usage.kinds
        ],
        owners=[
            pb.GetUsageResponse.Owner(
                name=each.owner,
                kind=_KINDS[each.kind],
                size_bytes=each.size_bytes,
                object_count=each.object_count,
            )
            for each in usage.owners
        ],
        days=[
            pb.GetUsageResponse.Day(
                start_time=timestamp(each.start),
                kind=_KINDS[each.kind],
                size_bytes=each.size_bytes,
                object_count=each.object_count,
                gib_hours=each.gib_hours,
            )
            for each in usage.days
        ],
    )


def signed_urls_to(reads: Iterable[SignedRead]) -> pb.SignUrlsResponse:
    """Writes the answer, in the same order."""
    return pb.SignUrlsResponse(
        urls=[
            pb.SignedUrl(object=read.stored.name, url=read.url, expire_time=timestamp(read.expires_at))
            for read in reads
        ]
    )


def deleted_to(deleted: Deleted) -> pb.DeleteObjectsResponse:
    """Writes the answer."""
    return pb.DeleteObjectsResponse(deleted_count=deleted.object_count, freed_bytes=deleted.freed_bytes)


def ttl_from(request: pb.SignUrlsRequest) -> timedelta | None:
    """None when the caller leaves it to us."""
    return request.ttl.ToTimedelta() if request.HasField("ttl") else None


def position_to(position: tuple[datetime, str]) -> list[str | int]:
    """Where a page continues."""
    at, object_id = position
    return [at.isoformat(), object_id]


def timestamp(at: datetime) -> Timestamp:
    """Writes an aware time."""
    result = Timestamp()
    result.FromDatetime(at)
    return result
