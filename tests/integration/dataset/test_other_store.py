"""An import and its viewing over a store that answers ranges with 200: rclone's."""

import pytest
from visiontune.dataset.v1 import dataset_pb2 as pb

from tests.support import archives
from tests.support.dataset import DatasetHandle
from tests.support.s3 import Rclone


@pytest.fixture
def s3(rclone: Rclone) -> Rclone:
    return rclone


async def test_what_was_imported_can_be_looked_at(service: DatasetHandle) -> None:
    files = archives.good()
    for filename in ("data.zip", "data.tar.gz"):
        version = await service.imported(await service.create(filename[5:8]), files, filename)
        asked = pb.ListExamplesRequest(parent=version.name)
        [first, *_] = (await service.call("ListExamples", asked)).examples
        image = await service.call("GetExampleImage", pb.GetExampleImageRequest(name=first.name))
        assert image.data in files.values()
        shown = await service.call("GetThumbnails", pb.GetThumbnailsRequest(parent=version.name))
        assert len(shown.thumbnails) == version.example_count
