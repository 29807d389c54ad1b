"""What quotas promise, on both databases."""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune_kit import errors
from visiontune_kit.identity import Role

from tests.support.s3 import SeaweedFS
from tests.support.storage import StorageHandle

MIB = 1024 * 1024


async def test_fifty_uploads_at_once_never_pass_the_quota(storage: StorageHandle) -> None:
    """40 MiB of quota hold 13 reservations of 3 MiB."""

    wanted = [storage.create(b"", size_bytes=3 * MIB, sha256="0" * 64) for _ in range(50)]
    outcomes = await asyncio.gather(*wanted, return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, errors.ResourceExhausted)]
    granted = [each for each in outcomes if isinstance(each, pb.Upload)]
    assert (len(granted), len(refused)) == (13, 37)
    assert {each.reason for each in refused} == {"QuotaExceeded"}
    quota = await storage.quota()
    assert quota.reserved_bytes == 39 * MIB <= quota.limit_bytes


async def test_over_quota_says_how_much_is_free(storage: StorageHandle) -> None:
    await storage.create(b"", size_bytes=39 * MIB, sha256="0" * 64)
    with pytest.raises(
        errors.ResourceExhausted, match=r"Needs 2,097,152 bytes; 1,048,576 are free"
    ) as failure:
        await storage.create(b"", size_bytes=2 * MIB, sha256="0" * 64)
    assert failure.value.metadata["limit_bytes"] == str(40 * MIB)
    assert failure.value.resource == "projects/default/quota"


async def test_projects_have_quotas_of_their_own(storage: StorageHandle) -> None:
    await storage.upload(b"mine")
    assert (await storage.quota("other")).used_bytes == 0
    assert (await storage.quota("other")).limit_bytes == 40 * MIB


async def update_quota(
    storage: StorageHandle, role: Role = Role.OPERATOR, mask: Sequence[str] = (), **fields: object
) -> pb.Quota:
    quota = pb.Quota(name="projects/default/quota", **fields)  # type: ignore[arg-type]
    request = pb.UpdateQuotaRequest(quota=quota, request_id=str(uuid.uuid4()))
    request.update_mask.paths.extend(mask)
    changed: pb.Quota = await storage.call("UpdateQuota", request, role=role)
    return changed


async def test_an_operator_changes_the_limit(storage: StorageHandle) -> None:
    await storage.upload(b"x" * 100)
    changed = await update_quota(storage, limit_bytes=150)
    assert (changed.limit_bytes, changed.used_bytes) == (150, 100)
    assert await storage.quota() == changed
    with pytest.raises(errors.ResourceExhausted, match="50 are free"):
        await storage.create(b"", size_bytes=51, sha256="0" * 64)
    await update_quota(storage, limit_bytes=10)  # below what is used: nothing is deleted
    with pytest.raises(errors.ResourceExhausted, match="0 are free"):
        await storage.create(b"", size_bytes=1, sha256="0" * 64)


async def test_a_limit_that_was_lowered_meanwhile_refuses_the_completion(
    storage: StorageHandle, s3: SeaweedFS
) -> None:
    await storage.upload(b"x" * 100)
    upload = await storage.create(b"y" * 50)
    await storage.put(upload, b"y" * 50)
    await update_quota(storage, limit_bytes=149)
    with pytest.raises(errors.ResourceExhausted, match="Needs 50 bytes; 49 are free"):
        await storage.complete(upload.name)
    found = await storage.call("GetUpload", pb.GetUploadRequest(name=upload.name))
    assert found.state == pb.Upload.STATE_ABORTED
    quota = await storage.quota()
    assert (quota.used_bytes, quota.reserved_bytes, quota.object_count) == (100, 0, 1)
    assert len(s3.keys(storage.bucket)) == 1
    await update_quota(storage, limit_bytes=150)
    await storage.upload(b"y" * 50)


async def test_a_stale_etag_changes_nothing(storage: StorageHandle) -> None:
    before = await storage.quota()
    await update_quota(storage, limit_bytes=500, etag=before.etag)
    with pytest.raises(errors.Aborted) as failure:
        await update_quota(storage, limit_bytes=600, etag=before.etag)
    assert failure.value.reason == "StaleEtag"
    assert (await storage.quota()).limit_bytes == 500


async def test_only_an_operator_changes_limits(storage: StorageHandle) -> None:
    for role in (Role.VIEWER, Role.EDITOR, Role.ADMIN):
        with pytest.raises(errors.PermissionDenied):
            await update_quota(storage, role, limit_bytes=1)


async def test_an_operator_of_one_project_sets_the_limits_of_another(storage: StorageHandle) -> None:
    quota = pb.Quota(name="projects/other/quota", limit_bytes=7)
    await storage.call("UpdateQuota", pb.UpdateQuotaRequest(quota=quota), role=Role.OPERATOR)
    assert (await storage.quota("other")).limit_bytes == 7
    assert (await storage.quota()).limit_bytes == 40 * MIB
    with pytest.raises(errors.PermissionDenied):
        await storage.call("UpdateQuota", pb.UpdateQuotaRequest(quota=quota), role=Role.ADMIN)


async def test_a_mask_names_what_changes_and_what_becomes_the_default_again(storage: StorageHandle) -> None:
    defaults = await storage.quota()
    assert not defaults.HasField("limit_images")
    changed = await update_quota(storage, limit_objects=7, limit_images=9)
    assert (changed.limit_objects, changed.limit_images) == (7, 9)
    assert changed.limit_bytes == defaults.limit_bytes
    changed = await update_quota(storage, mask=["limit_objects", "limit_bytes"], limit_images=1)
    assert (changed.limit_objects, changed.limit_images) == (defaults.limit_objects, 9)
    assert changed.limit_bytes == 0  # named, and 0
    with pytest.raises(errors.InvalidArgument) as refused:
        await update_quota(storage, mask=["used_bytes"])
    assert refused.value.reason == "UnknownMaskPath"
    assert await storage.quota() == changed


@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"limit_objects": 10}, "TooManyObjects"), ({"limit_pending_uploads": 10}, "TooManyUploads")],
)
async def test_of_fifty_uploads_at_once_as_many_begin_as_may(
    storage: StorageHandle, limits: dict[str, Any], reason: str
) -> None:
    await update_quota(storage, **limits)
    made = await asyncio.gather(*(storage.create(bytes([n])) for n in range(50)), return_exceptions=True)
    refused = [each for each in made if isinstance(each, errors.ResourceExhausted)]
    assert {each.reason for each in refused} == {reason}
    assert len(refused) == 40
    assert (await storage.quota()).pending_upload_count == 10


async def test_an_upload_that_ended_makes_room_for_another(storage: StorageHandle) -> None:
    await update_quota(storage, limit_pending_uploads=1)
    first = await storage.create(b"1")
    with pytest.raises(errors.ResourceExhausted, match="1 uploads in flight"):
        await storage.create(b"2")
    await storage.call("AbortUpload", pb.AbortUploadRequest(name=first.name))
    await storage.upload(b"2")
    await storage.upload(b"3")
    quota = await storage.quota()
    assert (quota.pending_upload_count, quota.object_count) == (0, 2)


async def alerts(storage: StorageHandle, page_size: int = 50) -> list[tuple[str, int, int]]:
    """Limit, share and use of each, newest first, over all pages."""
    found: list[tuple[str, int, int]] = []
    request = pb.ListQuotaAlertsRequest(parent="projects/default", page_size=page_size)
    while True:
        page = await storage.call("ListQuotaAlerts", request, role=Role.VIEWER)
        found += [(pb.QuotaAlert.Limit.Name(each.limit), each.percent, each.used) for each in page.alerts]
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_reaching_80_and_100_percent_is_told_once_each(storage: StorageHandle) -> None:
    await update_quota(storage, limit_bytes=100)
    await storage.upload(b"x" * 79)
    assert await alerts(storage) == []
    eighty = await storage.upload(b"y")
    assert await alerts(storage) == [("LIMIT_BYTES", 80, 80)]
    full = await storage.upload(b"z" * 20)
    told = [("LIMIT_BYTES", 100, 100), ("LIMIT_BYTES", 80, 80)]
    assert await alerts(storage, page_size=1) == told
    # Around a threshold nothing is told again; from far below it is.
    await storage.call("DeleteObjects", pb.DeleteObjectsRequest(parent="projects/default", owner=eighty.name))
    await storage.upload(b"y")
    assert await alerts(storage) == told
    await storage.call("DeleteObjects", pb.DeleteObjectsRequest(parent="projects/default", owner=full.name))
    await storage.create(b"w" * 20)
    assert await alerts(storage) == [("LIMIT_BYTES", 100, 100), *told]


async def test_a_lowered_limit_tells_too_and_each_limit_for_itself(storage: StorageHandle) -> None:
    await storage.create(b"x" * 90)
    await update_quota(storage, limit_bytes=100)
    await update_quota(storage, limit_objects=1)
    assert await alerts(storage) == [
        ("LIMIT_OBJECTS", 100, 1),
        ("LIMIT_OBJECTS", 80, 1),
        ("LIMIT_BYTES", 80, 90),
    ]
