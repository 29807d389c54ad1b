"""Formats over the service: what there is, templates to start from, and what detection saw."""

import pytest
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune_data.formats import FORMATS
from visiontune_kit import errors

from tests.support.archives import jsonl, video
from tests.support.dataset import DatasetHandle, metadata_of, version_of


async def test_formats_say_what_they_have_a_place_for(service: DatasetHandle) -> None:
    answer = await service.call("ListFormats", pb.ListFormatsRequest())
    assert [each.format for each in answer.formats] == sorted(FORMATS)
    by_name = {each.format: each for each in answer.formats}
    assert list(by_name["llava"].kinds) == [pb.EXAMPLE_KIND_CHAT, pb.EXAMPLE_KIND_CHAT_WITH_IMAGES]
    assert pb.EXAMPLE_KIND_RETRIEVAL in by_name["parquet"].kinds


async def test_every_template_imports_and_says_why_it_is_that_format(service: DatasetHandle) -> None:
    for name, format_ in FORMATS.items():
        body = await service.call("GetTemplate", pb.GetTemplateRequest(format=name))
        assert body.content_type == "application/zip"
        dataset = await service.create(f"of-{name}")  # two of them hold the same examples
        operation = await service.ended(await service.start_bytes(dataset, body.data, "t.zip"))
        version, metadata = version_of(operation), metadata_of(operation)
        assert (version.format, metadata.format_reason) == (name, f"{name}: {format_.evidence}")
        assert (await service.report(version.validation_report)).format_reason == metadata.format_reason


async def test_a_format_that_there_is_not_has_no_template(service: DatasetHandle) -> None:
    with pytest.raises(errors.InvalidArgument, match='"coco" is not a format; use chat, '):
        await service.call("GetTemplate", pb.GetTemplateRequest(format="coco"))


async def test_a_video_is_shown_as_one_and_stored_as_frames(service: DatasetHandle) -> None:
    said = [{"from": "human", "value": "<video>What?"}, {"from": "gpt", "value": "That."}]
    files = {
        "t.jsonl": jsonl({"video": "v.mp4", "conversations": said}),
        "v.mp4": video(20),
        "w.mp4": b"no video",
    }
    version = await service.imported(await service.create(), files)
    assert (version.format, list(version.kinds)) == ("video-llava", [pb.EXAMPLE_KIND_CHAT_WITH_VIDEO])
    [example] = (await service.call("ListExamples", pb.ListExamplesRequest(parent=version.name))).examples
    shown, text = example.messages[0].content
    assert (shown.type, shown.frame_count, text.text) == (pb.ContentPart.TYPE_VIDEO, 8, "What?")
    assert len(example.images) == 8
    assert example.images[0].path == "v.mp4.frames/000001.jpg"
