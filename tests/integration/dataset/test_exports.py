"""Exports over gRPC: an archive that imports as the same version again, by a URL that works for a while."""

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.longrunning import operations_pb2 as lro
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune_dataset.domain import exports
from visiontune_kit import errors

from tests.integration.dataset.test_drafts import added, answer, commit, delete, draft_of, edit
from tests.support import archives
from tests.support.dataset import DatasetHandle, running_dataset, version_of
from tests.support.s3 import SeaweedFS

ARCHIVES = {
    pb.ExportVersionRequest.ARCHIVE_UNSPECIFIED: "data.tar.gz",
    pb.ExportVersionRequest.ARCHIVE_ZIP: "data.zip",
}


async def export(service: DatasetHandle, version: str, **fields: Any) -> lro.Operation:
    request = pb.ExportVersionRequest(name=version, **fields)
    return await service.ended(await service.call("ExportVersion", request))


def export_of(operation: lro.Operation) -> pb.Export:
    assert operation.HasField("response"), operation.error
    found = pb.Export()
    assert operation.response.Unpack(found)
    return found


@pytest.mark.parametrize(("archive", "filename"), ARCHIVES.items())
async def test_what_edits_made_imports_as_the_same_version(
    s3: SeaweedFS, tmp_path: Path, archive: int, filename: str
) -> None:
    async with running_dataset(s3, tmp_path, shard_bytes=1) as service:
        dataset = await service.create()
        await service.imported(dataset, archives.numbered(120))
        draft = await draft_of(service, dataset)
        sha256 = hashlib.sha256(archives.noise(7)).hexdigest()
        edits = (answer("r3", "Three."), delete("r4"), added("n", pb.AddedImage(sha256=sha256)))
        await edit(service, draft, *edits)
        version = version_of(await commit(service, draft))
        operation = await export(service, version.name, archive=archive)
        found = export_of(operation)
        metadata = pb.ExportVersionMetadata()
        assert operation.metadata.Unpack(metadata)
        assert (metadata.progress_percent, metadata.example_count) == (100, 120)
        assert (found.version, found.format, found.example_count) == (version.name, "llava", 120)
        assert found.filename == f"d-v2-llava.{filename.partition('.')[2]}"
        content = (await service.storage.http.get(found.url)).content
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (found.sha256, found.size_bytes)
        other = await service.create("other")
        again = version_of(await service.ended(await service.start_bytes(other, content, filename)))
        assert again.digest == version.digest
        fresh = await service.call("GetExport", pb.GetExportRequest(name=found.name))
        assert (fresh.sha256, fresh.expire_time) == (found.sha256, found.expire_time)
        assert list((tmp_path / "scratch" / "imports").iterdir()) == []


async def test_an_export_expires_with_its_bytes(
    s3: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("visiontune_dataset.use_cases.exports.LIFETIME", timedelta())
    monkeypatch.setattr("visiontune_dataset.app._SWEEP_INTERVAL_S", 0.2)
    assert timedelta() < exports.LIFETIME
    async with running_dataset(s3, tmp_path) as service:
        version = await service.imported(await service.create(), archives.captions(3))
        found = export_of(await export(service, version.name))
        with pytest.raises(errors.NotFound) as gone:
            await service.call("GetExport", pb.GetExportRequest(name=found.name))
        assert gone.value.reason == "ExportNotFound"
        await service.until_objects(2)


async def test_a_format_without_a_place_for_the_examples_is_refused(service: DatasetHandle) -> None:
    version = await service.imported(await service.create(), archives.captions(3))
    for format_, reason in (("llava", "ExportUnfit"), ("none", "UnknownFormat")):
        with pytest.raises(errors.InvalidArgument) as refused:
            await export(service, version.name, format=format_)
        assert refused.value.reason == reason
