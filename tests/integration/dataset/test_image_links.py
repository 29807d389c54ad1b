"""Links that open pictures without a key: what they lead to, and all that they must not open."""

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.api import httpbody_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune_kit import channels, errors
from visiontune_kit.identity import Role
from visiontune_kit.tokens import TokenMinter

from tests.support import archives
from tests.support.dataset import DatasetHandle, running_dataset
from tests.support.eventually import eventually
from tests.support.s3 import SeaweedFS

BASE = "https://images.example.org/vt"
IMAGES = "visiontune-images"
CHAT = {"messages": [{"role": "user", "content": "Two and two?"}, {"role": "assistant", "content": "Four."}]}


@pytest.fixture
async def service(s3: SeaweedFS, tmp_path: Path) -> AsyncIterator[DatasetHandle]:
    async with running_dataset(s3, tmp_path, public_base_url=f"{BASE}/") as handle:
        yield handle


async def signed(service: DatasetHandle, version: str, *rows: int) -> pb.SignImageLinksResponse:
    request = pb.SignImageLinksRequest(parent=version, rows=rows)
    answer: pb.SignImageLinksResponse = await service.call("SignImageLinks", request, role=Role.VIEWER)
    return answer


async def opened(service: DatasetHandle, token: str) -> httpbody_pb2.HttpBody:
    """The picture of a link, for somebody of no project that has it."""
    request = pb.GetLinkedImageRequest(token=token.removeprefix(f"{BASE}/v1/images/"))
    answer: httpbody_pb2.HttpBody = await service.call(
        "GetLinkedImage", request, project="other", role=Role.VIEWER
    )
    return answer


def minted(service: DatasetHandle, issuer: str, *, audience: str = IMAGES, **claims: Any) -> str:
    minter = TokenMinter.from_file(service.storage.trust.key_file(issuer), f"visiontune-{issuer}")
    whole = {"sub": "projects/default/datasets/d/versions/v1", "digest": "0" * 16, "row": 0, **claims}
    return minter.sign(whole, audience, datetime.now(UTC) + timedelta(hours=1))


async def test_links_lead_to_the_pictures_of_their_rows(service: DatasetHandle) -> None:
    version = await service.imported(await service.create(), archives.good())
    answer = await signed(service, version.name, 1, 0)
    assert [each.example for each in answer.links] == [f"{version.name}/examples/{row}" for row in (1, 0)]
    left = answer.expire_time.ToDatetime(UTC) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(minutes=90)
    for each, row in zip(answer.links, (1, 0), strict=True):
        asked = pb.GetExampleRequest(name=each.example)
        example: pb.Example = await service.call("GetExample", asked)
        assert len(each.image_urls) == len(example.images) > 0
        for index, url in enumerate(each.image_urls):
            own = pb.GetExampleImageRequest(name=each.example, index=index)
            wanted = await service.call("GetExampleImage", own)
            found = await opened(service, url)
            assert (found.content_type, found.data) == (wanted.content_type, wanted.data)
        page = pb.GetThumbnailsRequest(parent=version.name, start=row, count=1)
        [thumbnail] = (await service.call("GetThumbnails", page)).thumbnails
        found = await opened(service, each.thumbnail_url)
        assert (found.content_type, found.data) == (thumbnail.content_type, thumbnail.data)
        end = Timestamp()
        assert found.extensions[0].Unpack(end)
        assert end == answer.expire_time


async def test_an_example_without_images_has_no_link(service: DatasetHandle) -> None:
    version = await service.imported(
        await service.create(), {"train.jsonl": archives.jsonl(CHAT)}, format="chat"
    )
    [links] = (await signed(service, version.name, 0)).links
    assert (links.thumbnail_url, list(links.image_urls)) == ("", [])


async def test_what_is_no_link_of_ours_opens_nothing(service: DatasetHandle) -> None:
    version = await service.imported(await service.create(), archives.good())
    [links] = (await signed(service, version.name, 0)).links
    token = links.image_urls[0].rpartition("/")[2]
    head, payload, signature = token.split(".")
    _, other, _ = links.thumbnail_url.rpartition("/")[2].split(".")
    strangers = {
        "changed": f"{head}.{other}.{signature}",
        "cut": f"{head}.{payload}.{signature[:-4]}",
        "nonsense": "nonsense",
        "signed by another service": minted(service, "trainer"),
        "says who calls": service.storage.trust.user_token(),
        "for another use": minted(service, "dataset", audience="visiontune"),
    }
    for what, stranger in strangers.items():
        with pytest.raises(errors.PermissionDenied) as refused:
            await opened(service, stranger)
        assert refused.value.reason == "ImageLinkInvalid", what
        assert "was not signed here, or was changed" in refused.value.message
    with pytest.raises(channels.ServiceIdentityRefused):  # nor does a link say who calls
        header = [("authorization", f"Bearer {token}")]
        await service.stub.GetVersion(pb.GetVersionRequest(name=version.name), metadata=header)


async def test_a_link_ends(service: DatasetHandle) -> None:
    await service.imported(await service.create(), archives.good())
    minter = TokenMinter.from_file(service.storage.trust.key_file("dataset"), "visiontune-dataset")
    claims = {"sub": "projects/default/datasets/d/versions/v1", "digest": "0" * 16, "row": 0}
    token = minter.sign(claims, IMAGES, datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(errors.PermissionDenied, match=r"it has ended\. Ask for a new one"):
        await opened(service, token)


async def test_a_link_ends_with_its_version(service: DatasetHandle) -> None:
    dataset = await service.create()
    version = await service.imported(dataset, archives.good())
    [links] = (await signed(service, version.name, 0)).links
    await service.call("DeleteDataset", pb.DeleteDatasetRequest(name=dataset.name, force=True))
    with pytest.raises(errors.NotFound):
        await opened(service, links.thumbnail_url)

    async def name_is_free() -> bool:
        with suppress(errors.AlreadyExists):
            await service.create()
            return True
        return False

    await eventually(name_is_free, within_s=30)
    # What then gets its name is not what was shared.
    again = await service.imported(dataset, archives.captions(3))
    assert again.name == version.name
    with pytest.raises(errors.PermissionDenied, match="an older version of that name"):
        await opened(service, links.thumbnail_url)


async def test_rows_that_are_not_there_are_refused(service: DatasetHandle) -> None:
    version = await service.imported(await service.create(), archives.captions(2))
    with pytest.raises(errors.NotFound, match="the version has 2 examples"):
        await signed(service, version.name, 0, 2)


async def test_without_an_address_to_begin_with_none_are_signed(s3: SeaweedFS, tmp_path: Path) -> None:
    async with running_dataset(s3, tmp_path) as service:
        version = await service.imported(await service.create(), archives.captions(2))
        for call in (signed(service, version.name, 0), opened(service, "x")):
            with pytest.raises(errors.FailedPrecondition, match="VISIONTUNE_DATASET_PUBLIC_BASE_URL") as off:
                await call
            assert off.value.reason == "ImageLinksOff"
