"""The service's methods: parse, call one use case, reply."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from google.longrunning import operations_pb2
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune.storage.v1 import storage_pb2_grpc
from visiontune_kit import identity, pages
from visiontune_kit.identity import Kind, Role

from visiontune_storage import wire
from visiontune_storage.ports import Deps
from visiontune_storage.use_cases import collect, egress, objects, quotas, small, uploads, usage
from visiontune_storage.use_cases.uploads import SignedUpload

NAME = "visiontune.storage.v1.StorageService"
OPERATIONS = "google.longrunning.Operations"

ACCESS: Mapping[str, Role] = {
    f"/{NAME}/CreateUpload": Role.EDITOR,
    f"/{NAME}/GetUpload": Role.EDITOR,  # it answers with URLs that write
    f"/{NAME}/CompleteUpload": Role.EDITOR,
    f"/{NAME}/UploadBytes": Role.EDITOR,
    f"/{NAME}/AbortUpload": Role.EDITOR,
    f"/{NAME}/GetObject": Role.VIEWER,
    f"/{NAME}/SignUrls": Role.VIEWER,
    f"/{NAME}/ListObjects": Role.VIEWER,
    f"/{NAME}/DeleteObjects": Role.EDITOR,
    f"/{NAME}/UndeleteObjects": Role.EDITOR,
    f"/{NAME}/CollectGarbage": Role.ADMIN,
    f"/{NAME}/GetQuota": Role.VIEWER,
    f"/{NAME}/UpdateQuota": Role.OPERATOR,
    f"/{NAME}/GetUsage": Role.VIEWER,
    f"/{NAME}/GetEgress": Role.OPERATOR,
    f"/{NAME}/ListQuotaAlerts": Role.VIEWER,
    f"/{OPERATIONS}/GetOperation": Role.VIEWER,
    f"/{OPERATIONS}/ListOperations": Role.VIEWER,
    f"/{OPERATIONS}/WaitOperation": Role.VIEWER,
    f"/{OPERATIONS}/CancelOperation": Role.ADMIN,
    f"/{OPERATIONS}/DeleteOperation": Role.ADMIN,
}
UNSCOPED = frozenset({f"/{NAME}/GetEgress"})
# An operator sets the limits of every project, and cleans up after it.
CROSS_PROJECT = frozenset(
    {
        f"/{NAME}/GetQuota",
        f"/{NAME}/UpdateQuota",
        f"/{NAME}/ListQuotaAlerts",
        f"/{NAME}/GetUsage",
        f"/{NAME}/CollectGarbage",
        *(method for method in ACCESS if OPERATIONS in method),
    }
)


class StorageService(storage_pb2_grpc.StorageServiceServicer):
    """See storage.proto."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def CreateUpload(self, request: pb.CreateUploadRequest, context: Any) -> pb.Upload:
        command = wire.create_upload_from(request, by_service=_by_service())
        return wire.upload_to(await uploads.create_upload(command, self._deps))

    async def GetUpload(self, request: pb.GetUploadRequest, context: Any) -> pb.Upload:
        return wire.upload_to(await uploads.get_upload(*_project_and_id(request.name), self._deps))

    async def CompleteUpload(self, request: pb.CompleteUploadRequest, context: Any) -> pb.Upload:
        named = wire.etags_from(request.parts)
        done = await uploads.complete_upload(*_project_and_id(request.name), named, self._deps)
        return wire.upload_to(SignedUpload(done))

    async def UploadBytes(self, requests: AsyncIterator[pb.UploadBytesRequest], context: Any) -> pb.Upload:
        command = wire.upload_bytes_from(await anext(requests), by_service=_by_service())
        chunks = (request.body.data async for request in requests)
        return wire.upload_to(SignedUpload(await small.upload_bytes(command, chunks, self._deps)))

    async def AbortUpload(self, request: pb.AbortUploadRequest, context: Any) -> pb.Upload:
        aborted = await uploads.abort_upload(
            *_project_and_id(request.name), self._deps, by_service=_by_service()
        )
        return wire.upload_to(SignedUpload(aborted))

    async def GetObject(self, request: pb.GetObjectRequest, context: Any) -> pb.Object:
        return wire.object_to(await objects.get_object(*_project_and_id(request.name), self._deps))

    async def SignUrls(self, request: pb.SignUrlsRequest, context: Any) -> pb.SignUrlsResponse:
        ids = [wire.id_of(name) for name in request.objects]
        project, ttl = wire.project_of(request.parent), wire.ttl_from(request)
        return wire.signed_urls_to(await objects.sign_reads(project, ids, ttl, self._deps))

    async def ListObjects(self, request: pb.ListObjectsRequest, context: Any) -> pb.ListObjectsResponse:
        after = pages.time_and_name(pages.decode(request, request.page_token))
        limit = pages.clamp(request.page_size, default=100, most=1_000)
        project = wire.project_of(request.parent)
        page = await objects.list_objects(
            project, request.owner, after, limit, self._deps, show_deleted=request.show_deleted
        )
        return pb.ListObjectsResponse(
            objects=[wire.object_to(each) for each in page.objects],
            next_page_token=pages.encode(request, wire.position_to(page.next_after))
            if page.next_after
            else "",
        )

    async def DeleteObjects(self, request: pb.DeleteObjectsRequest, context: Any) -> pb.DeleteObjectsResponse:
        project = wire.project_of(request.parent)
        how: Any = {"by_service": _by_service(), "undo_window": wire.undo_window_from(request)}
        if request.owner:
            return wire.deleted_to(await objects.delete_owned(project, request.owner, self._deps, **how))
        ids = [wire.id_of(name) for name in request.objects]
        return wire.deleted_to(await objects.delete_objects(project, ids, self._deps, **how))

    async def UndeleteObjects(
        self, request: pb.UndeleteObjectsRequest, context: Any
    ) -> pb.UndeleteObjectsResponse:
        project, ids = wire.project_of(request.parent), [wire.id_of(name) for name in request.objects]
        restored = await objects.undelete(project, ids, request.owner, self._deps, by_service=_by_service())
        return pb.UndeleteObjectsResponse(restored_count=restored.count, restored_bytes=restored.size_bytes)

    async def CollectGarbage(
        self, request: pb.CollectGarbageRequest, context: Any
    ) -> operations_pb2.Operation:
        project = wire.project_of(request.parent)
        operation: operations_pb2.Operation = await collect.start(
            project, dry_run=request.dry_run, deps=self._deps
        )
        return operation

    async def GetQuota(self, request: pb.GetQuotaRequest, context: Any) -> pb.Quota:
        return wire.quota_to(await quotas.get_quota(wire.project_of(request.name), self._deps))

    async def UpdateQuota(self, request: pb.UpdateQuotaRequest, context: Any) -> pb.Quota:
        project, etag = wire.project_of(request.quota.name), request.quota.etag
        limits = wire.limits_from(request)
        return wire.quota_to(await quotas.update_quota(project, limits, etag, self._deps))

    async def GetUsage(self, request: pb.GetUsageRequest, context: Any) -> pb.GetUsageResponse:
        start, end = wire.span_from(request)
        found = await usage.get_usage(wire.project_of(request.parent), start, end, self._deps)
        return wire.usage_to(found)

    async def GetEgress(self, request: pb.GetEgressRequest, context: Any) -> pb.GetEgressResponse:
        return wire.egress_to(await egress.get_egress(*wire.span_from(request), self._deps))

    async def ListQuotaAlerts(
        self, request: pb.ListQuotaAlertsRequest, context: Any
    ) -> pb.ListQuotaAlertsResponse:
        before = pages.time_and_name(pages.decode(request, request.page_token))
        limit = pages.clamp(request.page_size, default=50, most=500)
        page = await quotas.list_alerts(wire.project_of(request.parent), before, limit, self._deps)
        return pb.ListQuotaAlertsResponse(
            alerts=[wire.alert_to(each) for each in page.alerts],
            next_page_token=pages.encode(request, wire.position_to(page.next_after))
            if page.next_after
            else "",
        )


def _by_service() -> bool:
    return identity.current().kind is Kind.SERVICE


def _project_and_id(name: str) -> tuple[str, str]:
    return wire.project_of(name), wire.id_of(name)
