"""Good archives become versions that can be browsed, read for training, and deleted."""

import hashlib
import io
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api import httpbody_pb2
from PIL import ExifTags, Image
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune_kit import errors

from tests.support import archives
from tests.support.dataset import DatasetHandle, metadata_of, running_dataset, version_of
from tests.support.s3 import SeaweedFS

FILES = archives.numbered(12)


async def test_the_same_files_give_the_same_version_from_any_archive(service: DatasetHandle) -> None:
    dataset = await service.create()
    first = await service.imported(dataset, FILES, "data.tar.gz")
    assert first.name == f"{dataset.name}/versions/v1"
    assert (first.format, first.example_count, first.image_count) == ("llava", 12, 12)
    assert list(first.kinds) == [pb.EXAMPLE_KIND_CHAT_WITH_IMAGES]
    assert sum(first.split_counts.values()) == 12
    await service.until_objects(2)  # a shard and its preview; the archive is gone
    for filename in ("data.tar", "data.zip"):
        again = await service.ended(await service.start(dataset, FILES, filename))
        assert version_of(again).name == first.name
        assert metadata_of(again).unchanged
        assert metadata_of(again).stage == pb.ImportVersionMetadata.STAGE_DONE
    await service.until_objects(2)
    other = await service.imported(dataset, archives.numbered(13))
    assert other.name == f"{dataset.name}/versions/v2"
    assert other.digest != first.digest
    assert [each.name for each in await service.versions(dataset)] == [other.name, first.name]
    found = await service.call("GetDataset", pb.GetDatasetRequest(name=dataset.name))
    assert (found.latest_version, found.version_count) == (other.name, 2)


async def test_everything_of_a_version_can_be_read(service: DatasetHandle) -> None:
    dataset = await service.create()
    version = await service.imported(dataset, FILES, validation_fraction=0.3)
    await check_examples(service, version)
    await check_pictures(service, version)
    await check_numbers(service, version)
    await check_manifest(service, version)


async def check_examples(service: DatasetHandle, version: pb.DatasetVersion) -> None:
    seen: list[pb.Example] = []
    request = pb.ListExamplesRequest(parent=version.name, page_size=5)
    while True:
        page = await service.call("ListExamples", request)
        assert page.total_size == 12
        assert len(page.examples) <= 5
        seen += page.examples
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert [each.example_id for each in seen] == [f"r{number}" for number in range(12)]
    assert [part.type for part in seen[3].messages[0].content] == [
        pb.ContentPart.TYPE_IMAGE,
        pb.ContentPart.TYPE_TEXT,
    ]
    assert seen[3].messages[1].content[0].text == "It is number 3."
    image = seen[3].images[0]
    assert (image.path, image.width_px, image.height_px, image.format) == ("images/003.jpg", 64, 48, "JPEG")
    assert image.sha256 == hashlib.sha256(FILES["images/003.jpg"]).hexdigest()
    for split, count in version.split_counts.items():
        page = await service.call("ListExamples", pb.ListExamplesRequest(parent=version.name, split=split))
        assert page.total_size == len(page.examples) == count
        assert {each.split for each in page.examples} == {split}
        assert [each.name for each in page.examples] == [each.name for each in seen if each.split == split]
    one = await service.call("GetExample", pb.GetExampleRequest(name=seen[7].name))
    assert one == seen[7]
    for missing in ("12", "x", "-1"):
        with pytest.raises(errors.NotFound):
            await service.call("GetExample", pb.GetExampleRequest(name=f"{version.name}/examples/{missing}"))


async def check_pictures(service: DatasetHandle, version: pb.DatasetVersion) -> None:
    name = f"{version.name}/examples/4"
    found: httpbody_pb2.HttpBody = await service.call("GetExampleImage", pb.GetExampleImageRequest(name=name))
    assert found.content_type == "image/jpeg"
    assert found.data == FILES["images/004.jpg"]
    with pytest.raises(errors.NotFound):
        await service.call("GetExampleImage", pb.GetExampleImageRequest(name=name, index=1))
    answer = await service.call(
        "GetThumbnails", pb.GetThumbnailsRequest(parent=version.name, start=10, count=5)
    )
    assert [each.example for each in answer.thumbnails] == [
        f"{version.name}/examples/{row}" for row in (10, 11)
    ]
    picture = Image.open(io.BytesIO(answer.thumbnails[0].data))
    assert picture.size == (answer.thumbnails[0].width_px, answer.thumbnails[0].height_px) == (64, 48)


async def check_numbers(service: DatasetHandle, version: pb.DatasetVersion) -> None:
    found = await service.call("GetStatistics", pb.GetStatisticsRequest(name=f"{version.name}/statistics"))
    assert (found.example_count, found.image_count) == (12, 12)
    assert found.image_bytes == sum(len(FILES[f"images/{number:03d}.jpg"]) for number in range(12))
    assert dict(found.format_counts) == {"JPEG": 12}
    assert (found.width_px.min, found.width_px.max, found.width_px.count) == (64, 64, 12)
    assert dict(found.split_counts) == dict(version.split_counts)
    report = await service.report(version.validation_report)
    assert (report.record_count, report.example_count, report.error_count) == (12, 12, 0)
    assert report.version == version.name


async def check_manifest(service: DatasetHandle, version: pb.DatasetVersion) -> None:
    manifest = await service.call("GetReadManifest", pb.GetReadManifestRequest(name=version.name))
    assert (manifest.digest, manifest.manifest_sha256) == (version.digest, version.manifest_sha256)
    [shard] = manifest.shards
    content = (await service.storage.http.get(shard.url)).content
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (shard.sha256, shard.size_bytes)
    table = pq.read_table(pa.BufferReader(content))
    assert table.num_rows == shard.row_count == 12
    stored = table.column("images").to_pylist()
    assert [row[0]["bytes"] for row in stored] == [FILES[f"images/{n:03d}.jpg"] for n in range(12)]
    tail = await service.storage.http.get(shard.url, headers={"Range": "bytes=-4"})
    assert (tail.status_code, tail.content) == (206, b"PAR1")


async def test_metadata_is_removed_where_it_is_asked_for(service: DatasetHandle) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (52.0, 31.0, 12.0)})
    taken = archives.encoded(Image.open(io.BytesIO(FILES["images/000.jpg"])), "JPEG", exif=exif)
    dataset = await service.create()
    files = {**archives.numbered(1), "images/000.jpg": taken}
    whole = await service.imported(dataset, files)
    operation = await service.ended(await service.start(dataset, files, strip_metadata=True))
    version = version_of(operation)
    assert (version.name, version.digest != whole.digest) == (f"{dataset.name}/versions/v2", True)
    stored = []
    for made in (whole, version):
        request = pb.GetExampleImageRequest(name=f"{made.name}/examples/0")
        stored.append((await service.call("GetExampleImage", request)).data)
    assert stored[0] == taken
    before, after = (Image.open(io.BytesIO(data)) for data in stored)
    assert before.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    assert dict(after.getexif()) == {ExifTags.Base.Orientation: 6}
    assert after.tobytes() == before.tobytes()
    saved = len(taken) - len(stored[1])
    assert metadata_of(operation).saved_bytes == saved > 0
    assert (await service.report(version.validation_report)).saved_bytes == saved
    example = await service.call("GetExample", pb.GetExampleRequest(name=f"{version.name}/examples/0"))
    assert example.images[0].sha256 == hashlib.sha256(stored[1]).hexdigest()


async def test_images_are_made_smaller_where_it_is_asked_for(service: DatasetHandle) -> None:
    photograph = archives.noise(5, (300, 200))
    files = {**archives.numbered(2), "images/000.jpg": photograph}
    policy = pb.ImagePolicy(largest_side_px=90, format=pb.ImagePolicy.FORMAT_WEBP, quality=70)
    dataset = await service.create()
    operation = await service.ended(await service.start(dataset, files, image_policy=policy))
    version = version_of(operation)
    request = pb.GetExampleImageRequest(name=f"{version.name}/examples/0")
    found = await service.call("GetExampleImage", request)
    picture = Image.open(io.BytesIO(found.data))
    assert (found.content_type, picture.format, picture.size) == ("image/webp", "WEBP", (90, 60))
    example = await service.call("GetExample", pb.GetExampleRequest(name=request.name))
    image = example.images[0]
    assert (image.format, image.width_px, image.height_px) == ("WEBP", 90, 60)
    assert image.sha256 == hashlib.sha256(found.data).hexdigest()
    report = await service.report(version.validation_report)
    assert metadata_of(operation).saved_bytes == report.saved_bytes >= len(photograph) - len(found.data)
    again = await service.ended(await service.start(dataset, files, "a.zip", image_policy=policy))
    assert metadata_of(again).unchanged
    for wrong in (pb.ImagePolicy(largest_side_px=15), pb.ImagePolicy(quality=101)):
        with pytest.raises(errors.InvalidArgument):
            await service.start(dataset, files, image_policy=wrong)


async def test_pages_cross_shards(s3: SeaweedFS, tmp_path: Path) -> None:
    files = archives.captions(210)
    async with running_dataset(s3, tmp_path, shard_bytes=1) as service:
        version = await service.imported(await service.create(), files, "pairs.zip", format="image-caption")
        assert list(version.kinds) == [pb.EXAMPLE_KIND_CAPTIONED_IMAGE]
        assert version.shard_count == 3
        await service.until_objects(6)
        page = await service.call("ListExamples", pb.ListExamplesRequest(parent=version.name, page_size=200))
        assert [list(each.texts) for each in page.examples] == [[f"noise number {n}"] for n in range(200)]
        shown = await service.call(
            "GetThumbnails", pb.GetThumbnailsRequest(parent=version.name, start=98, count=105)
        )
        assert [int(each.example.rpartition("/")[2]) for each in shown.thumbnails] == [*range(98, 203)]
        last = pb.GetExampleImageRequest(name=f"{version.name}/examples/209")
        assert (await service.call("GetExampleImage", last)).data == files["209.jpg"]
        manifest = await service.call("GetReadManifest", pb.GetReadManifestRequest(name=version.name))
        assert [shard.row_count for shard in manifest.shards] == [100, 100, 10]


async def test_one_upload_is_imported_into_several_datasets_at_once(service: DatasetHandle) -> None:
    content = archives.pack(archives.captions(2), "a.tar")
    upload = await service.storage.upload(content, filename="a.tar")
    operations = [
        await service.call("ImportVersion", pb.ImportVersionRequest(parent=made.name, upload=upload.name))
        for made in [await service.create(f"d{number}") for number in range(3)]
    ]
    for operation in operations:
        assert (await service.ended(operation)).HasField("response"), operation
    await service.until_objects(6)  # a shard and its preview each; the archive went with the last import


async def test_an_id_is_taken_once(service: DatasetHandle) -> None:
    request = pb.CreateDatasetRequest(parent="projects/default", dataset_id="d", request_id=str(uuid.uuid4()))
    first = await service.call("CreateDataset", request)
    assert await service.call("CreateDataset", request) == first
    with pytest.raises(errors.AlreadyExists) as refused:
        await service.create("d")
    assert refused.value.reason == "DatasetExists"
    assert "projects/default/datasets/d exists already" in refused.value.message


async def test_only_force_deletes_versions(service: DatasetHandle) -> None:
    dataset = await service.create()
    kept = await service.create("kept")
    version = await service.imported(dataset, archives.captions(2))
    await service.imported(kept, archives.captions(2))
    await service.until_objects(4)
    with pytest.raises(errors.FailedPrecondition) as refused:
        await service.call("DeleteDataset", pb.DeleteDatasetRequest(name=dataset.name))
    assert refused.value.reason == "DatasetNotEmpty"
    await service.call("DeleteDataset", pb.DeleteDatasetRequest(name=dataset.name, force=True))
    await service.until_objects(2)
    with pytest.raises(errors.NotFound):
        await service.call("GetVersion", pb.GetVersionRequest(name=version.name))
    assert len(await service.versions(kept)) == 1
    await service.create()  # the id is free again


async def test_names_and_etags(service: DatasetHandle) -> None:
    dataset = await service.create(display_name="One")
    changed = pb.Dataset(name=dataset.name, description="Two", etag=dataset.etag)
    after = await service.call("UpdateDataset", pb.UpdateDatasetRequest(dataset=changed))
    assert (after.display_name, after.description) == ("One", "Two")
    with pytest.raises(errors.Aborted) as refused:
        await service.call("UpdateDataset", pb.UpdateDatasetRequest(dataset=changed))
    assert refused.value.reason == "StaleEtag"
    for number in range(3):
        await service.create(f"d{number}")
    names, request = [], pb.ListDatasetsRequest(parent="projects/default", page_size=3)
    for _ in range(2):
        page = await service.call("ListDatasets", request)
        names += [each.name.rpartition("/")[2] for each in page.datasets]
        request.page_token = page.next_page_token
    assert (names, request.page_token) == (["d2", "d1", "d0", "d"], "")
