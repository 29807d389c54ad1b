"""What objects promise, on both databases."""

import asyncio

import pytest
from google.protobuf.duration_pb2 import Duration
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune_kit import errors
from visiontune_kit.identity import Role

from tests.support.s3 import SeaweedFS
from tests.support.storage import StorageHandle

MIB = 1024 * 1024


async def names(storage: StorageHandle, **fields: object) -> list[str]:
    """Names of all objects, over all pages."""
    found: list[str] = []
    request = pb.ListObjectsRequest(parent="projects/default", **fields)  # type: ignore[arg-type]
    while True:
        page = await storage.call("ListObjects", request, role=Role.VIEWER)
        found += [each.name for each in page.objects]
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def delete(storage: StorageHandle, **fields: object) -> tuple[int, int]:
    request = pb.DeleteObjectsRequest(parent="projects/default", **fields)  # type: ignore[arg-type]
    answer = await storage.call_as_service("DeleteObjects", request)
    return answer.deleted_count, answer.freed_bytes


async def test_pages_hold_every_object_once_oldest_first(storage: StorageHandle) -> None:
    made = [(await storage.upload(bytes([n]))).object for n in range(7)]
    assert await names(storage, page_size=2) == made
    assert await names(storage, page_size=7) == made
    assert await names(storage) == made


async def test_a_page_token_belongs_to_its_request(storage: StorageHandle) -> None:
    for n in range(3):
        await storage.upload(bytes([n]))
    page = await storage.call(
        "ListObjects", pb.ListObjectsRequest(parent="projects/default", page_size=1), role=Role.VIEWER
    )
    for token in (page.next_page_token, "nonsense"):
        stolen = pb.ListObjectsRequest(
            parent="projects/default", owner="projects/default/datasets/d", page_token=token
        )
        with pytest.raises(errors.InvalidArgument):
            await storage.call("ListObjects", stolen, role=Role.VIEWER)


async def test_an_owner_has_what_is_below_it_and_nothing_that_merely_begins_alike(
    storage: StorageHandle,
) -> None:
    owners = ["datasets/d", "datasets/d/versions/1", "datasets/d2", "datasets/D/versions/1", "datasets/d_x"]
    made = {
        owner: (await storage.upload(owner.encode(), owner=f"projects/default/{owner}")).object
        for owner in owners
    }
    assert await names(storage, owner="projects/default/datasets/d") == [
        made["datasets/d"],
        made["datasets/d/versions/1"],
    ]
    assert await names(storage, owner="projects/default/datasets/D") == [made["datasets/D/versions/1"]]


async def test_without_an_owner_the_upload_owns_its_object(storage: StorageHandle) -> None:
    done = await storage.upload(b"x")
    assert done.owner == done.name
    assert await names(storage, owner=done.name) == [done.object]


async def test_deleting_frees_quota_and_bytes_and_can_be_repeated(
    storage: StorageHandle, s3: SeaweedFS
) -> None:
    first, second = await storage.upload(b"one"), await storage.upload(b"three")
    assert await delete(storage, objects=[first.object]) == (1, 3)
    assert await delete(storage, objects=[first.object]) == (0, 0)
    quota = await storage.quota()
    assert (quota.used_bytes, quota.object_count) == (5, 1)
    assert len(s3.keys(storage.bucket)) == 1
    assert await storage.read(second.object) == b"three"
    with pytest.raises(errors.NotFound):
        await storage.read(first.object)


async def test_deleting_the_same_objects_at_once_counts_each_once(storage: StorageHandle) -> None:
    made = [(await storage.upload(bytes([n]))).object for n in range(6)]
    counts = await asyncio.gather(*(delete(storage, objects=made) for _ in range(5)))
    assert sum(count for count, _ in counts) == 6
    quota = await storage.quota()
    assert (quota.used_bytes, quota.object_count) == (0, 0)


async def test_an_owner_takes_its_objects_and_pending_uploads_along(
    storage: StorageHandle, s3: SeaweedFS
) -> None:
    owner = "projects/default/trainingJobs/j"
    await storage.upload(b"weights", owner=f"{owner}/checkpoints/step-1")
    pending = await storage.create(b"half", owner=f"{owner}/checkpoints/step-2")
    await storage.put(pending, b"half")
    kept = await storage.upload(b"kept", owner="projects/default/trainingJobs/j2")
    assert await delete(storage, owner=owner) == (1, len(b"weights") + len(b"half"))
    assert await delete(storage, owner=owner) == (0, 0)
    quota = await storage.quota()
    assert (quota.used_bytes, quota.reserved_bytes, quota.object_count) == (4, 0, 1)
    assert len(s3.keys(storage.bucket)) == 1
    assert await storage.read(kept.object) == b"kept"
    with pytest.raises(errors.FailedPrecondition):
        await storage.complete(pending.name)


async def test_a_user_deletes_what_uploads_own_and_nothing_else(storage: StorageHandle) -> None:
    version = "projects/default/datasets/d/versions/v1"
    shard, own = await storage.upload(b"shard", owner=version), await storage.upload(b"own")
    declared = pb.Upload(filename="a", size_bytes=1, sha256="0" * 64, owner=version)
    pending = await storage.create(b"more", owner=version)
    calls = [
        ("AbortUpload", pb.AbortUploadRequest(name=pending.name)),
        ("CreateUpload", pb.CreateUploadRequest(parent="projects/default", upload=declared)),
        ("DeleteObjects", pb.DeleteObjectsRequest(parent="projects/default", owner=version)),
        ("DeleteObjects", pb.DeleteObjectsRequest(parent="projects/default", owner="projects/default/")),
        (
            "DeleteObjects",
            pb.DeleteObjectsRequest(parent="projects/default", objects=[own.object, shard.object]),
        ),
    ]
    for method, request in calls:
        with pytest.raises(errors.PermissionDenied) as refused:
            await storage.call(method, request, role=Role.OPERATOR)
        assert refused.value.reason == "OwnerReserved"
    assert await storage.read(own.object) == b"own"
    assert await storage.read(shard.object) == b"shard"
    assert (await storage.quota()).used_bytes == 8
    await storage.call_as_service("AbortUpload", pb.AbortUploadRequest(name=pending.name))
    for request in (
        pb.DeleteObjectsRequest(parent="projects/default", objects=[own.object]),
        pb.DeleteObjectsRequest(parent="projects/default", owner=(await storage.upload(b"2")).name),
    ):
        assert (await storage.call("DeleteObjects", request)).deleted_count == 1


@pytest.mark.parametrize(
    "fields", [{}, {"objects": ["projects/default/objects/a"], "owner": "projects/default/x"}]
)
async def test_objects_and_owner_exclude_each_other(
    storage: StorageHandle, fields: dict[str, object]
) -> None:
    with pytest.raises(errors.InvalidArgument):
        await delete(storage, **fields)


async def test_an_owner_of_another_project_is_refused(storage: StorageHandle) -> None:
    for call in (delete, names):
        with pytest.raises(errors.InvalidArgument) as failure:
            await call(storage, owner="projects/other/datasets/d")
        assert failure.value.reason == "OwnerOutsideProject"


async def test_urls_come_in_the_order_of_the_request_and_live_as_long_as_asked(
    storage: StorageHandle,
) -> None:
    made = [(await storage.upload(bytes([n]))).object for n in range(3)]
    wanted = [made[2], made[0], made[2]]
    request = pb.SignUrlsRequest(parent="projects/default", objects=wanted, ttl=Duration(seconds=120))
    answer = await storage.call("SignUrls", request, role=Role.VIEWER)
    assert [each.object for each in answer.urls] == wanted
    for each, content in zip(answer.urls, (b"\2", b"\0", b"\2"), strict=True):
        assert (await storage.http.get(each.url)).content == content


async def test_a_missing_object_is_named_and_none_is_signed(storage: StorageHandle) -> None:
    done = await storage.upload(b"x")
    with pytest.raises(errors.NotFound) as failure:
        await storage.sign(done.object, "projects/default/objects/gone", "projects/default/objects/lost")
    assert failure.value.resource == "projects/default/objects/gone"
    assert "1 others" in failure.value.message
