"""Formats over the service: what there is, templates to start from, and what detection saw."""

import pytest
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune_data.formats import FORMATS
from visiontune_kit import errors

from tests.support.dataset import DatasetHandle, metadata_of, version_of


async def test_formats_say_what_they_have_a_place_for(service: DatasetHandle) -> None:
    answer = await service.call("ListFormats", pb.ListFormatsRequest())
    assert [each.format for each in answer.formats] == sorted(FORMATS)
    by_name = {each.format: each for each in answer.formats}
    assert list(by_name["llava"].kinds) == [pb.EXAMPLE_KIND_CHAT, pb.EXAMPLE_KIND_CHAT_WITH_IMAGES]
    assert pb.EXAMPLE_KIND_RETRIEVAL in by_name["parquet"].kinds


async def test_every_template_imports_and_says_why_it_is_that_format(service: DatasetHandle) -> None:
    dataset = await service.create()
    for name, format_ in FORMATS.items():
        body = await service.call("GetTemplate", pb.GetTemplateRequest(format=name))
        assert body.content_type == "application/zip"
        operation = await service.ended(await service.start_bytes(dataset, body.data, "t.zip"))
        version, metadata = version_of(operation), metadata_of(operation)
        assert (version.format, metadata.format_reason) == (name, f"{name}: {format_.evidence}")
        assert (await service.report(version.validation_report)).format_reason == metadata.format_reason


async def test_a_format_that_there_is_not_has_no_template(service: DatasetHandle) -> None:
    with pytest.raises(errors.InvalidArgument, match='"coco" is not a format; use chat, '):
        await service.call("GetTemplate", pb.GetTemplateRequest(format="coco"))
