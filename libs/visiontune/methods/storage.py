"""Uploads, and what a project keeps."""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.api import httpbody_pb2
from google.longrunning import operations_pb2

from visiontune import errors, names, uploads, watch
from visiontune.methods.calling import Calls, rpc
from visiontune.storage.v1 import storage_pb2

_STORAGE = storage_pb2.DESCRIPTOR.services_by_name["StorageService"]

# The server reads the whole object once before it answers. A gateway waits less than that for one call,
# but the reading goes on, and the next call joins it.
_COMPLETE_TIMEOUT_S = 600.0
# What a server allows a small file to arrive.
_SEND_TIMEOUT_S = 60.0


class Storage(Calls):
    """Uploads, quotas and usage."""

    # Uploads

    def upload(self, path: Path, **options: Any) -> storage_pb2.Upload:
        """Uploads a file; see visiontune.uploads.upload for the options."""
        return uploads.upload(self, path, **options)

    def upload_bytes(self, content: bytes, filename: str, *, content_type: str = "") -> storage_pb2.Upload:
        """Uploads a small file through the server, which says how small, where the store is out of reach."""
        request = storage_pb2.UploadBytesRequest(
            parent=self.project,
            filename=filename,
            sha256=hashlib.sha256(content).hexdigest(),
            size_bytes=len(content),
            body=httpbody_pb2.HttpBody(content_type=content_type, data=content),
        )
        return self.call(rpc(_STORAGE, "UploadBytes"), request, storage_pb2.Upload(), _SEND_TIMEOUT_S)

    def create_upload(self, upload: storage_pb2.Upload) -> storage_pb2.Upload:
        """Reserves quota and returns URLs to PUT the parts to."""
        request = storage_pb2.CreateUploadRequest(parent=self.project, upload=upload)
        return self.call(rpc(_STORAGE, "CreateUpload"), request, storage_pb2.Upload())

    def get_upload(self, name: str) -> storage_pb2.Upload:
        """An upload with fresh URLs and the parts that arrived."""
        request = storage_pb2.GetUploadRequest(name=names.full(name, self.project, "uploads"))
        return self.call(rpc(_STORAGE, "GetUpload"), request, storage_pb2.Upload())

    def complete_upload(self, name: str, parts: list[storage_pb2.Part]) -> storage_pb2.Upload:
        """Verifies what was sent and makes it an object; asks again while a large one is still being read."""
        request = storage_pb2.CompleteUploadRequest(name=name, parts=parts)
        method, pauses = rpc(_STORAGE, "CompleteUpload"), watch.intervals()
        while True:
            waited_s = next(pauses)
            try:
                return self.call(method, request, storage_pb2.Upload(), timeout_s=_COMPLETE_TIMEOUT_S)
            except (errors.DeadlineExceeded, errors.Unavailable):
                if waited_s > _COMPLETE_TIMEOUT_S:
                    raise

    def abort_upload(self, name: str) -> storage_pb2.Upload:
        """Gives an upload up and frees its quota."""
        request = storage_pb2.AbortUploadRequest(name=names.full(name, self.project, "uploads"))
        return self.call(rpc(_STORAGE, "AbortUpload"), request, storage_pb2.Upload())

    # Storage

    def get_quota(self) -> storage_pb2.Quota:
        """The project's limits and what is used."""
        request = storage_pb2.GetQuotaRequest(name=f"{self.project}/quota")
        return self.call(rpc(_STORAGE, "GetQuota"), request, storage_pb2.Quota())

    def update_quota(self, limits: Mapping[str, int | None]) -> storage_pb2.Quota:
        """Sets limits by their field, such as `limit_bytes`; None is the default. For operators."""
        quota = storage_pb2.Quota(
            name=f"{self.project}/quota",
            **{field: value for field, value in limits.items() if value is not None},  # type: ignore[arg-type]
        )
        request = storage_pb2.UpdateQuotaRequest(quota=quota)
        request.update_mask.paths.extend(limits)
        return self.call(rpc(_STORAGE, "UpdateQuota"), request, storage_pb2.Quota())

    def get_storage_usage(self, *, days: int = 30) -> storage_pb2.GetUsageResponse:
        """What the project keeps now, and kept in these days, by kind of owner."""
        request = storage_pb2.GetUsageRequest(parent=self.project)
        request.start_time.FromSeconds(int(time.time()) - 86_400 * days)
        return self.call(rpc(_STORAGE, "GetUsage"), request, storage_pb2.GetUsageResponse())

    def get_egress(self, *, days: int = 30) -> storage_pb2.GetEgressResponse:
        """What the object store sent in these days, for all projects together. For operators."""
        request = storage_pb2.GetEgressRequest()
        request.start_time.FromSeconds(int(time.time()) - 86_400 * days)
        return self.call(rpc(_STORAGE, "GetEgress"), request, storage_pb2.GetEgressResponse())

    def collect_garbage(self, *, everywhere: bool = False, dry_run: bool = False) -> operations_pb2.Operation:
        """Starts removing what nobody needs any more, or counting it; everywhere: of all projects."""
        parent = "projects/-" if everywhere else self.project
        request = storage_pb2.CollectGarbageRequest(parent=parent, dry_run=dry_run)
        return self.call(rpc(_STORAGE, "CollectGarbage"), request, operations_pb2.Operation())

    def list_uploaded(self) -> Iterator[storage_pb2.Object]:
        """Files that were uploaded and nothing has taken over, oldest first."""
        return self.pages(
            rpc(_STORAGE, "ListObjects"),
            storage_pb2.ListObjectsRequest(parent=self.project, owner=f"{self.project}/uploads"),
            storage_pb2.ListObjectsResponse(),
            "objects",
        )

    def delete_objects(self, objects: Sequence[str]) -> storage_pb2.DeleteObjectsResponse:
        """Deletes uploaded files by name; those that are gone already are fine."""
        request = storage_pb2.DeleteObjectsRequest(parent=self.project)
        request.objects.extend(names.full(each, self.project, "objects") for each in objects)
        return self.call(rpc(_STORAGE, "DeleteObjects"), request, storage_pb2.DeleteObjectsResponse())

    def undelete_objects(self, objects: Sequence[str]) -> storage_pb2.UndeleteObjectsResponse:
        """Takes back deletions whose undo window has not ended."""
        request = storage_pb2.UndeleteObjectsRequest(parent=self.project, objects=objects)
        return self.call(rpc(_STORAGE, "UndeleteObjects"), request, storage_pb2.UndeleteObjectsResponse())

    def list_quota_alerts(self) -> Iterator[storage_pb2.QuotaAlert]:
        """Times that use rose to 80 or 100 % of a limit, newest first."""
        return self.pages(
            rpc(_STORAGE, "ListQuotaAlerts"),
            storage_pb2.ListQuotaAlertsRequest(parent=self.project),
            storage_pb2.ListQuotaAlertsResponse(),
            "alerts",
        )
