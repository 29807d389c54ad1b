"""Another project finds nothing, by no method; and each method wants its role."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from google.longrunning import operations_pb2 as lro
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune_kit import channels, errors
from visiontune_kit.identity import Role
from visiontune_storage import rpc

from tests.support.storage import StorageHandle

PARENT = "projects/default"
QUOTA = f"{PARENT}/quota"

# Each as a function of a pending upload and of a complete one.
REQUESTS: dict[str, Callable[[pb.Upload, pb.Upload], Any]] = {
    "CreateUpload": lambda *_: pb.CreateUploadRequest(
        parent=PARENT, upload=pb.Upload(filename="a", size_bytes=1, sha256="0" * 64)
    ),
    "UploadBytes": lambda *_: iter(
        [pb.UploadBytesRequest(parent=PARENT, filename="a", sha256=hashlib.sha256(b"a").hexdigest())]
    ),
    "GetUpload": lambda _, done: pb.GetUploadRequest(name=done.name),
    "CompleteUpload": lambda pending, _: pb.CompleteUploadRequest(name=pending.name),
    "AbortUpload": lambda pending, _: pb.AbortUploadRequest(name=pending.name),
    "GetObject": lambda _, done: pb.GetObjectRequest(name=done.object),
    "SignUrls": lambda _, done: pb.SignUrlsRequest(parent=PARENT, objects=[done.object]),
    "ListObjects": lambda *_: pb.ListObjectsRequest(parent=PARENT),
    "DeleteObjects": lambda _, done: pb.DeleteObjectsRequest(parent=PARENT, objects=[done.object]),
    "GetQuota": lambda *_: pb.GetQuotaRequest(name=QUOTA),
    "UndeleteObjects": lambda _, done: pb.UndeleteObjectsRequest(parent=PARENT, objects=[done.object]),
    "CollectGarbage": lambda *_: pb.CollectGarbageRequest(parent=PARENT),
    "GetOperation": lambda *_: lro.GetOperationRequest(name=f"{PARENT}/operations/o"),
    "ListOperations": lambda *_: lro.ListOperationsRequest(name=PARENT),
    "WaitOperation": lambda *_: lro.WaitOperationRequest(name=f"{PARENT}/operations/o"),
    "CancelOperation": lambda *_: lro.CancelOperationRequest(name=f"{PARENT}/operations/o"),
    "DeleteOperation": lambda *_: lro.DeleteOperationRequest(name=f"{PARENT}/operations/o"),
    "GetUsage": lambda *_: pb.GetUsageRequest(parent=PARENT),
    "ListQuotaAlerts": lambda *_: pb.ListQuotaAlertsRequest(parent=PARENT),
    "UpdateQuota": lambda *_: pb.UpdateQuotaRequest(quota=pb.Quota(name=QUOTA, limit_bytes=1)),
}
ROLES = {name.rpartition("/")[2]: role for name, role in rpc.ACCESS.items()}
# An operator sets the limits of every project; anybody below has no role for it, whatever the project.
OF_NO_PROJECT = {name.rpartition("/")[2] for name in rpc.UNSCOPED}
OPERATORS = {name.rpartition("/")[2] for name in rpc.CROSS_PROJECT}


def test_every_method_of_the_contract_has_a_role_and_a_case_here() -> None:
    methods = {each.name for each in pb.DESCRIPTOR.services_by_name["StorageService"].methods}
    assert methods <= ROLES.keys()
    assert methods - OF_NO_PROJECT <= REQUESTS.keys()


async def test_every_method_is_for_one_project_and_one_role(storage: StorageHandle) -> None:
    assert REQUESTS.keys() == ROLES.keys() - OF_NO_PROJECT
    pending, done = await storage.create(b"pending"), await storage.upload(b"done")
    for method, request in REQUESTS.items():
        stub: Any = storage.operations if hasattr(storage.operations, method) else storage.stub
        call = getattr(stub, method)
        stranger = Role.ADMIN if method in OPERATORS else Role.OPERATOR
        refusal = errors.PermissionDenied if ROLES[method] > stranger else errors.NotFound
        with pytest.raises(refusal):
            await call(request(pending, done), metadata=storage.metadata("other", stranger))
        with pytest.raises(channels.ServiceIdentityRefused):  # what a service's own channel makes of it
            await call(request(pending, done))
        if ROLES[method] > Role.VIEWER:
            with pytest.raises(errors.PermissionDenied):
                await call(request(pending, done), metadata=storage.metadata(role=Role.VIEWER))


async def test_a_strangers_own_project_is_no_way_in(storage: StorageHandle) -> None:
    done = await storage.upload(b"done")
    own = f"projects/other/objects/{done.object.rpartition('/')[2]}"
    requests = {
        "GetObject": pb.GetObjectRequest(name=own),
        "SignUrls": pb.SignUrlsRequest(parent="projects/other", objects=[done.object]),
        "DeleteObjects": pb.DeleteObjectsRequest(parent="projects/other", objects=[done.object]),
        "UndeleteObjects": pb.UndeleteObjectsRequest(parent="projects/other", objects=[done.object]),
    }
    for method, request in requests.items():
        with pytest.raises(errors.NotFound):
            await storage.call(method, request, project="other")
    found = await storage.call("ListObjects", pb.ListObjectsRequest(parent="projects/other"), project="other")
    assert not found.objects
    assert await storage.read(done.object) == b"done"
