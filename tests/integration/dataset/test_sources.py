"""Several uploads as one version, and records that name images of versions that exist."""

import hashlib
from typing import Any

import pytest
from google.longrunning import operations_pb2 as lro
from google.rpc import code_pb2
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune_kit import errors

from tests.support.archives import Files, jsonl, llava, pack, picture
from tests.support.dataset import DatasetHandle, version_of

RECORDS = {"train.jsonl": jsonl(llava("img/a.jpg", "A.", id="a"), llava("img/b.jpg", "B.", id="b"))}
A, B = {"img/a.jpg": picture(1)}, {"img/b.jpg": picture(2)}


async def started(service: DatasetHandle, dataset: pb.Dataset, files: dict[str, bytes]) -> lro.Operation:
    """Uploads files and begins to import them together."""
    names = [
        (await service.storage.upload(content, filename=name, project=dataset.name.split("/")[1])).name
        for name, content in files.items()
    ]
    request = pb.ImportVersionRequest(parent=dataset.name, upload=names[0], uploads=names[1:])
    operation: lro.Operation = await service.call("ImportVersion", request)
    return operation


async def imported(service: DatasetHandle, dataset: pb.Dataset, files: dict[str, bytes]) -> pb.DatasetVersion:
    return version_of(await service.ended(await started(service, dataset, files)))


def by_digest(data: bytes, **more: Any) -> dict[str, Any]:
    return llava(f"sha256:{hashlib.sha256(data).hexdigest()}", **more)


async def test_several_uploads_are_one_version(service: DatasetHandle) -> None:
    dataset = await service.create()
    whole: Files = {**RECORDS, **A, **B}
    first = await service.imported(dataset, whole)
    parts = {
        "train.jsonl": RECORDS["train.jsonl"],
        "a.zip": pack(A, "a.zip"),
        "b.tar.gz": pack(B, "b.tar.gz"),
    }
    other = await service.create("e")
    version = await imported(service, other, parts)
    assert version.digest == first.digest
    assert version.source_filename == "train.jsonl and 2 more"
    assert len(version.uploads) == 3
    await service.until_objects(4)  # two versions' shards and previews: every upload is gone


async def test_the_same_call_again_is_the_same_operation(service: DatasetHandle) -> None:
    dataset = await service.create()
    a = await service.storage.upload(pack({**RECORDS, **A}, "a.tar"), filename="a.tar")
    b = await service.storage.upload(pack(B, "b.tar"), filename="b.tar")
    request = pb.ImportVersionRequest(parent=dataset.name, upload=a.name, uploads=[b.name])
    first = await service.call("ImportVersion", request)
    assert (await service.call("ImportVersion", request)).name == first.name
    with pytest.raises(errors.FailedPrecondition):
        await service.call("ImportVersion", pb.ImportVersionRequest(parent=dataset.name, upload=a.name))
    assert version_of(await service.ended(first)).example_count == 2


async def test_one_bad_upload_of_several_leaves_nothing(service: DatasetHandle) -> None:
    dataset = await service.create()
    files = {
        "train.jsonl": RECORDS["train.jsonl"],
        "a.tar": pack(A, "a.tar"),
        "b.tar": pack(B, "b.tar")[:600],
    }
    ended = await service.ended(await started(service, dataset, files))
    assert ended.error.code == code_pb2.INVALID_ARGUMENT
    assert "b.tar: the archive ends at byte 600" in ended.error.message
    await service.until_objects(0)


async def test_records_alone_name_images_of_earlier_versions(service: DatasetHandle) -> None:
    elsewhere, dataset = await service.create(), await service.create("e")
    await service.imported(elsewhere, {**RECORDS, **A, **B})
    asked = jsonl(by_digest(picture(1), answer="One."), by_digest(picture(2), answer="Two."))
    version = await imported(service, dataset, {"more.jsonl": asked})
    assert (version.example_count, version.image_count) == (2, 2)
    [example, _] = (await service.call("ListExamples", pb.ListExamplesRequest(parent=version.name))).examples
    request = pb.GetExampleImageRequest(name=example.name)
    assert (await service.call("GetExampleImage", request)).data == picture(1)


async def test_records_alone_name_images_that_were_uploaded(service: DatasetHandle) -> None:
    dataset = await service.create()
    for number in (1, 2):
        await service.storage.upload(picture(number), filename=f"{number}.jpg")
    asked = jsonl(by_digest(picture(1), answer="One."), by_digest(picture(2), answer="Two."))
    version = await imported(service, dataset, {"more.jsonl": asked})
    examples = (await service.call("ListExamples", pb.ListExamplesRequest(parent=version.name))).examples
    for number, example in enumerate(examples, 1):
        request = pb.GetExampleImageRequest(name=example.name)
        assert (await service.call("GetExampleImage", request)).data == picture(number)


async def test_the_digest_of_another_projects_image_finds_as_little_as_one_that_nobody_has(
    service: DatasetHandle,
) -> None:
    other = await service.create(project="other")
    await service.imported(other, {**RECORDS, **A, **B})
    await service.storage.upload(picture(5), project="other", filename="5.jpg")
    dataset = await service.create()
    await service.imported(dataset, {"train.jsonl": jsonl(llava("c.jpg")), "c.jpg": picture(3)})
    for data in (picture(1), picture(5), b"nobody's"):
        digest = hashlib.sha256(data).hexdigest()
        ended = await service.ended(await started(service, dataset, {"m.jsonl": jsonl(by_digest(data))}))
        assert (
            f'neither an upload nor an image of an earlier version is "sha256:{digest[:12]}…"'
            in ended.error.message
        )
