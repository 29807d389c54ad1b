"""The OpenAI API's vision fine-tuning: messages with `image_url` parts, which hold their images in base64."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from visiontune_data import image_kinds
from visiontune_data.example import Draft, ImageRef, Kind, Part
from visiontune_data.exported import ExportedExample, ExportedImage
from visiontune_data.formats.format import Format, Notes, RecordModel
from visiontune_data.formats.messages import ContentPart, part_types, read


class ImageUrl(RecordModel):
    """A data: URL, or one of http(s) where the operator allows its host."""

    url: str


class OpenAiPart(ContentPart):
    """A text or an image."""

    image_url: ImageUrl | str | None = None


class OpenAiMessage(RecordModel):
    """One turn."""

    role: str
    content: str | list[OpenAiPart]


class OpenAiRecord(RecordModel):
    """One conversation."""

    id: str | int | None = None
    messages: list[OpenAiMessage]
    split: str | None = None


def _to_draft(record: OpenAiRecord, value: Mapping[str, Any], notes: Notes) -> Draft:
    turns = read(record.messages, notes, _read_part, "text, image_url")
    return Draft(
        id=None if record.id is None else str(record.id),
        images=turns.place((), "$.messages"),
        messages=tuple(turns.messages),
        message_paths=tuple(turns.paths),
        split=record.split,
        metadata=dict(record.model_extra or {}),
    )


def _read_part(part: OpenAiPart, path: str) -> ImageRef | None:
    if part.type != "image_url" or part.image_url is None:
        return None
    if isinstance(part.image_url, str):
        return ImageRef(part.image_url, f"{path}.image_url")
    return ImageRef(part.image_url.url, f"{path}.image_url.url")


def _from_example(example: ExportedExample, image_paths: Sequence[str]) -> dict[str, Any]:
    images = iter(example.images)

    def part_of(part: Part) -> dict[str, Any]:
        if part.text is None:
            return {"type": "image_url", "image_url": {"url": _data_url(next(images))}}
        return {"type": "text", "text": part.text}

    turns = [{"role": m.role, "content": [part_of(part) for part in m.content]} for m in example.messages]
    return {"id": example.id, "messages": turns}


def _data_url(image: ExportedImage) -> str:
    type_ = image_kinds.CONTENT_TYPES[image_kinds.read_kind(image.data) or "JPEG"]
    return f"data:{type_};base64,{base64.b64encode(image.data).decode()}"


# A white square on black, 32 by 32 pixels.
_PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgAQAAAABbAUdZAAAAF0lEQVR42mNgIBb8/8/AxMDAQCWCWAAA9BUCHTVYa/EAAAAA"
    "SUVORK5CYII="
)


def _recognises(value: Mapping[str, Any]) -> bool:
    is_plain = "messages" in value and not {"images", "videos"} & value.keys()
    return is_plain and part_types(value) <= {"text", "image_url"}


FORMAT = Format(
    name="openai",
    description="Messages with image_url parts, as the OpenAI API takes them for fine-tuning.",
    kind=Kind.CHAT_WITH_IMAGES,
    kinds=frozenset({Kind.CHAT_WITH_IMAGES, Kind.CHAT}),
    file_names=("*.jsonl",),
    layout="train.jsonl          one record a line, with its images as data: URLs",
    example_record=(
        '{"messages": [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, '
        f'{{"type": "image_url", "image_url": {{"url": "data:image/png;base64,{_PICTURE}"}}}}]}}, '
        '{"role": "assistant", "content": "A square."}]}'
    ),
    record=OpenAiRecord,
    to_draft=_to_draft,
    evidence="the records have `messages`, of which some have `image_url` parts",
    recognises=_recognises,
    from_example=_from_example,
    embeds_images=True,
)
