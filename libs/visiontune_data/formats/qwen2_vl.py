"""Qwen2-VL's messages: content is text, or a list of parts of which some are images."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from visiontune_data.example import IMAGE, VIDEO, Draft, ImageRef, Kind, Message, Part, VideoRef
from visiontune_data.exported import ExportedExample
from visiontune_data.formats.format import Format, Notes, RecordModel
from visiontune_data.formats.llava import refs_of, videos_of
from visiontune_data.formats.messages import ContentPart, part_types, read
from visiontune_data.formats.turns import MediaRef

TYPES = "text, image, video"


class QwenPart(ContentPart):
    """A text, an image or a video: by its own path, or the next of the record's list of them.

    A video is a file, a folder of frames, or a list of frames.
    """

    image: str | None = None
    video: str | list[str] | None = None


class QwenMessage(RecordModel):
    """One turn."""

    role: str
    content: str | list[QwenPart]


class QwenRecord(RecordModel):
    """One conversation. `images` and `videos` are those of marks in text and of parts that name none."""

    id: str | int | None = None
    messages: list[QwenMessage]
    images: str | list[str] | None = None
    videos: str | list[str | list[str]] | None = None
    split: str | None = None


def _to_draft(record: QwenRecord, value: Mapping[str, Any], notes: Notes) -> Draft:
    turns = read(record.messages, notes, read_part, TYPES, videos=True)
    listed = refs_of(record.images, "$.images"), videos_of(record.videos, "$.videos")
    images = turns.place(listed[0], "$.messages", listed[1])
    return Draft(
        id=None if record.id is None else str(record.id),
        images=images,
        messages=tuple(turns.messages),
        message_paths=tuple(turns.paths),
        split=record.split,
        metadata=dict(record.model_extra or {}),
    )


def read_part(part: QwenPart, path: str) -> Part | MediaRef | None:
    """The part; an image or a video that it does not name is the next of the record's list."""
    if part.type == "image":
        return IMAGE if part.image is None else ImageRef(part.image, f"{path}.image")
    if part.type != "video":
        return None
    if part.video is None:
        return VIDEO
    return VideoRef((part.video,) if isinstance(part.video, str) else tuple(part.video), f"{path}.video")


def turns_of(messages: Iterable[Message], image_paths: Sequence[str]) -> list[dict[str, Any]]:
    """The messages with their parts, each image and video by its paths."""
    following = iter(image_paths)

    def part_of(part: Part) -> dict[str, Any]:
        match part.type:
            case "image":
                return {"type": "image", "image": next(following)}
            case "video":
                return {"type": "video", "video": list(itertools.islice(following, part.frames))}
        return {"type": "text", "text": part.text}

    return [{"role": m.role, "content": [part_of(part) for part in m.content]} for m in messages]


def _from_example(example: ExportedExample, image_paths: Sequence[str]) -> dict[str, Any]:
    return {"id": example.id, "messages": turns_of(example.messages, image_paths)}


FORMAT = Format(
    name="qwen2-vl",
    description="Messages whose content is a list of parts: text, images, videos.",
    kind=Kind.CHAT_WITH_IMAGES,
    kinds=frozenset({Kind.CHAT_WITH_IMAGES, Kind.CHAT_WITH_VIDEO, Kind.CHAT}),
    file_names=("*.jsonl", "*.json"),
    layout=(
        "train.jsonl          one record a line (or one .json array)\n"
        "images/0001.jpg      named by the parts of the messages, relative to the file\n"
        "videos/0001.mp4      likewise; or videos/0001/, a folder with its frames as images\n"
        "or, without a file of records, WebDataset's samples:\n"
        "0001.jpg, 0001.json  an image, and the record that names it"
    ),
    example_record=(
        '{"id": "1", "messages": [{"role": "user", "content": ['
        '{"type": "image", "image": "images/0001.jpg"}, {"type": "text", "text": "What digit is this?"}]}, '
        '{"role": "assistant", "content": [{"type": "text", "text": "Seven."}]}]}'
    ),
    record=QwenRecord,
    to_draft=_to_draft,
    evidence="the records have `messages`, of which some have images",
    recognises=lambda value: "messages" in value and "image_url" not in part_types(value),
    from_example=_from_example,
    is_sample=True,
)
