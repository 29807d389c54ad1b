"""Imports that must not succeed: each says why, keeps its report, and leaves nothing in storage."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest
from google.rpc import code_pb2, error_details_pb2
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune.storage.v1 import storage_pb2
from visiontune_kit import errors
from visiontune_kit.identity import Role

from tests.support import archives
from tests.support.dataset import DatasetHandle, details_of, metadata_of, running_dataset, version_of
from tests.support.s3 import SeaweedFS

GOOD = archives.numbered(3)
NOISE = hashlib.shake_256(b"noise").digest(3000)

# what is packed -> rule, field and text of the first problem
CASES: list[tuple[str, bytes, str, str, str]] = [
    (
        "missing.tar.gz",
        archives.tar_gz({**GOOD, "train.jsonl": archives.jsonl(*map(archives.numbered_record, range(5)))}),
        "image-missing",
        "train.jsonl:4 $.image",
        'missing.tar.gz › train.jsonl:4 › $.image: no file "images/003.jpg" in the archive',
    ),
    ("noise.tar.gz", NOISE, "", "archive", "noise.tar.gz"),
    ("cut.tar.gz", archives.tar_gz(GOOD)[:-200], "", "archive", "cut.tar.gz"),
    ("cut.zip", archives.zip_(GOOD)[:-200], "", "archive", "cut.zip"),
    ("evil.tar", archives.tar({**GOOD, "../evil.jpg": NOISE}), "", "../evil.jpg", "evil.tar › ../evil.jpg"),
    (
        "bad-image.tar",
        archives.tar({**GOOD, "images/001.jpg": NOISE}),
        "",
        "images/001.jpg",
        "images/001.jpg",
    ),
    (
        "no-records.zip",
        archives.zip_({"images/001.jpg": archives.noise(1)}),
        "metadata-missing",
        "archive",
        "",
    ),
]


async def test_bad_archives_are_refused_and_leave_nothing(service: DatasetHandle) -> None:
    dataset = await service.create()
    await asyncio.gather(*(is_refused(service, dataset, *case) for case in CASES))
    await service.until_objects(0)
    assert await service.versions(dataset) == []
    found = await service.call("GetDataset", pb.GetDatasetRequest(name=dataset.name))
    assert found.latest_version == ""
    # The dataset is as good as new.
    await service.imported(dataset, GOOD)


async def is_refused(
    service: DatasetHandle,
    dataset: pb.Dataset,
    filename: str,
    content: bytes,
    rule: str,
    field: str,
    text: str,
) -> None:
    ended = await service.ended(await service.start_bytes(dataset, content, filename))
    assert ended.error.code == code_pb2.INVALID_ARGUMENT, ended
    assert details_of(ended, error_details_pb2.ErrorInfo).reason == "ImportRefused"
    first = details_of(ended, error_details_pb2.BadRequest).field_violations[0]
    assert (first.field, text in first.description) == (field, True), (filename, first)
    assert first.reason == rule or not rule
    shown = metadata_of(ended)
    assert shown.validation_report.endswith(ended.name.rpartition("/")[2])
    report = await service.report(shown.validation_report)
    assert (report.filename, report.version, report.example_count) == (filename, "", 0)
    assert report.error_count == shown.error_count > 0
    assert report.rules[0].problems[0].text == first.description
    assert first.description in ended.error.message


async def test_bad_records_are_left_out_when_asked(service: DatasetHandle) -> None:
    dataset = await service.create()
    operation = await service.start_bytes(dataset, CASES[0][1], CASES[0][0], on_error=pb.ON_ERROR_SKIP)
    version = version_of(await service.ended(operation))
    assert version.example_count == 3
    report = await service.report(version.validation_report)
    assert (report.error_count, report.skipped_count, report.example_count) == (2, 2, 3)
    assert report.version == version.name
    await service.until_objects(2)


async def test_a_full_quota_fails_cleanly(s3: SeaweedFS, tmp_path: Path) -> None:
    files = archives.captions(210)
    size = len(archives.pack(files, "a.tar"))
    async with running_dataset(s3, tmp_path, shard_bytes=1) as service:
        dataset = await service.create()
        await limit(service, size + size * 2 // 3)  # room for the first of three shards
        ended = await service.ended(await service.start(dataset, files, "a.tar"))
        assert ended.error.code == code_pb2.RESOURCE_EXHAUSTED, ended
        assert details_of(ended, error_details_pb2.ErrorInfo).reason == "QuotaExceeded"
        await service.until_objects(0)
        assert await service.versions(dataset) == []
        await limit(service, 10 * size)
        await service.imported(dataset, files, "a.tar")
        await service.until_objects(6)


async def limit(service: DatasetHandle, limit_bytes: int) -> None:
    quota = storage_pb2.Quota(name="projects/default/quota", limit_bytes=limit_bytes)
    request = storage_pb2.UpdateQuotaRequest(quota=quota)
    await service.storage.call("UpdateQuota", request, role=Role.OPERATOR)


async def test_an_upload_is_imported_once_it_is_complete(service: DatasetHandle) -> None:
    dataset = await service.create()
    pending = await service.storage.create(b"never put", filename="a.tar")
    with pytest.raises(errors.FailedPrecondition) as refused:
        await service.call("ImportVersion", pb.ImportVersionRequest(parent=dataset.name, upload=pending.name))
    assert refused.value.reason == "UploadNotComplete"
    with pytest.raises(errors.NotFound):
        await service.call(
            "ImportVersion",
            pb.ImportVersionRequest(parent=dataset.name, upload="projects/default/uploads/none"),
        )
    with pytest.raises(errors.InvalidArgument) as unknown:
        await service.call(
            "ImportVersion", pb.ImportVersionRequest(parent=dataset.name, upload=pending.name, format="nope")
        )
    assert unknown.value.reason == "UnknownFormat"
    # A repeated call finds the operation of the first.
    done = await service.storage.upload(archives.pack(GOOD, "a.tar"), filename="a.tar")
    request = pb.ImportVersionRequest(parent=dataset.name, upload=done.name)
    first, second = [await service.call("ImportVersion", request) for _ in range(2)]
    assert first.name == second.name
    version_of(await service.ended(first))
    assert len(await service.versions(dataset)) == 1
    assert (await service.call("ImportVersion", request)).HasField("response")


@pytest.mark.parametrize(
    "other",
    [
        {"on_error": pb.ON_ERROR_SKIP},
        {"format": "llava"},
        {"validation_fraction": 0.5},
        {"strip_metadata": True},
        {"image_policy": pb.ImagePolicy(quality=50)},
    ],
)
async def test_an_upload_is_not_imported_twice_in_different_ways(
    service: DatasetHandle, other: dict[str, Any]
) -> None:
    dataset = await service.create()
    upload = await service.storage.upload(archives.pack(GOOD, "a.tar"), filename="a.tar")
    request = pb.ImportVersionRequest(parent=dataset.name, upload=upload.name, validation_fraction=0.1)
    operation = await service.call("ImportVersion", request)
    changed = pb.ImportVersionRequest(parent=dataset.name, upload=upload.name, **other)
    for _ in range(2):  # while it runs, and once it has ended
        assert await taken(service, changed) == "imports it with other options"
        version_of(await service.ended(operation))
    [version] = await service.versions(dataset)
    assert version.format == "llava"


async def test_what_failed_is_imported_from_another_upload(service: DatasetHandle) -> None:
    dataset = await service.create()
    filename, content, *_ = CASES[0]
    operation = await service.start_bytes(dataset, content, filename)
    assert (await service.ended(operation)).HasField("error")
    upload = f"projects/default/uploads/{operation.name.rpartition('/import-')[2]}"
    for on_error in (pb.ON_ERROR_FAIL, pb.ON_ERROR_SKIP):
        request = pb.ImportVersionRequest(parent=dataset.name, upload=upload, on_error=on_error)
        assert await taken(service, request) == "ended without a version"
    again = await service.start_bytes(dataset, content, filename, on_error=pb.ON_ERROR_SKIP)
    assert version_of(await service.ended(again)).example_count == 3


async def taken(service: DatasetHandle, request: pb.ImportVersionRequest) -> str:
    """Why the upload cannot be imported; the message says what to do, and names the other operation."""
    with pytest.raises(errors.FailedPrecondition) as refused:
        await service.call("ImportVersion", request)
    assert refused.value.reason == "UploadTaken"
    operation = refused.value.metadata["operation"]
    start, end = (
        f"{request.upload} is taken: {operation} ",
        ", and an import deletes its archive when it ends. ",
    )
    assert refused.value.message.startswith(start)
    assert refused.value.message.endswith(f"{end}Upload the archive again to import it anew.")
    return refused.value.message.removeprefix(start).partition(end)[0]


async def test_vision_can_be_switched_off(s3: SeaweedFS, tmp_path: Path) -> None:
    async with running_dataset(s3, tmp_path, enable_vision_training=False) as service:
        dataset = await service.create()
        upload = await service.storage.upload(archives.pack(GOOD, "a.tar"), filename="a.tar")
        request = pb.ImportVersionRequest(parent=dataset.name, upload=upload.name, format="llava")
        with pytest.raises(errors.FailedPrecondition) as refused:
            await service.call("ImportVersion", request)
        assert refused.value.reason == "VisionTrainingDisabled"
        assert "ENABLE_VISION_TRAINING" in refused.value.message
        request.format = "auto"  # it takes text alone, which shows only once the data are read
        ended = await service.ended(await service.call("ImportVersion", request))
        assert ended.error.code == code_pb2.FAILED_PRECONDITION
        assert details_of(ended, error_details_pb2.ErrorInfo).reason == "VisionTrainingDisabled"
        await service.until_objects(0)
        assert await service.versions(dataset) == []
        formats = await service.call("ListFormats", pb.ListFormatsRequest())
        on = {each.format for each in formats.formats if not each.unavailable_reason}
        assert "chat" in on
        assert "llava" not in on
        turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
        text = {"train.jsonl": archives.jsonl(*({"messages": turns} for _ in range(3)))}
        version = await service.imported(dataset, text, format="chat")
        assert version.example_count == 3
        said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
        text = {"a.jsonl": archives.jsonl(*({"messages": said, "id": n} for n in range(5)))}
        assert list((await service.imported(dataset, text, "t.zip")).kinds) == [pb.EXAMPLE_KIND_CHAT]
