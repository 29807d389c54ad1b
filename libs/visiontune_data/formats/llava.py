"""LLaVA's conversations: JSON with `image` and turns that mark each image's place by <image>."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from visiontune_data.example import IMAGE, Draft, ImageRef, Kind, Message, Part, Role, joined, text_of
from visiontune_data.exported import CannotExport, ExportedExample
from visiontune_data.formats.format import Format, Notes, RecordModel
from visiontune_data.text import shorten

_MARK = "<image>"
_ROLES: Mapping[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "system": "system",
}
_SPEAKERS: Mapping[Role, str] = {"user": "human", "assistant": "gpt", "system": "system"}


class Turn(RecordModel):
    """One turn: who speaks, and what."""

    speaker: str = Field(alias="from")
    value: str


class LlavaRecord(RecordModel):
    """One conversation. `image` is absent for text alone."""

    id: str | int | None = None
    image: str | list[str] | None = None
    conversations: list[Turn]
    split: str | None = None


def _to_draft(record: LlavaRecord, value: Mapping[str, Any], notes: Notes) -> Draft:
    images = _image_refs(record.image)
    roles = [_role(turn.speaker, index, notes) for index, turn in enumerate(record.conversations)]
    marks = sum(
        t.value.count(_MARK) for t, role in zip(record.conversations, roles, strict=True) if role == "user"
    )
    if marks and marks != len(images):
        notes.add(
            "placeholder-count",
            "$.conversations",
            f"{marks} {_MARK} marks for {len(images)} images",
            str(marks),
        )
    messages = [
        Message(role, _parts(turn.value) if role == "user" else (Part(turn.value),))
        for turn, role in zip(record.conversations, roles, strict=True)
    ]
    return Draft(
        id=None if record.id is None else str(record.id),
        images=images,
        messages=tuple(messages if marks else _images_first(messages, len(images))),
        message_paths=tuple(f"$.conversations[{index}].value" for index in range(len(messages))),
        split=record.split,
        metadata=dict(record.model_extra or {}),
    )


def _image_refs(image: str | list[str] | None) -> tuple[ImageRef, ...]:
    if image is None:
        return ()
    if isinstance(image, str):
        return (ImageRef(image, "$.image"),)
    return tuple(ImageRef(path, f"$.image[{index}]") for index, path in enumerate(image))


def _role(speaker: str, index: int, notes: Notes) -> Role:
    role = _ROLES.get(speaker)
    if role is None:
        accepted = ", ".join(_ROLES)
        notes.add(
            "role-unknown",
            f"$.conversations[{index}].from",
            f'the role "{shorten(speaker)}" is none of {accepted}',
            speaker,
        )
    return role or "user"


def _parts(text: str) -> tuple[Part, ...]:
    """The text cut at its <image> marks; the line breaks that LLaVA writes around a mark go with it."""
    parts: list[Part] = []
    for index, piece in enumerate(pieces := text.split(_MARK)):
        if index:
            parts.append(IMAGE)
            piece = piece.removeprefix("\n")  # noqa: PLW2901
        if index < len(pieces) - 1:
            piece = piece.removesuffix("\n")  # noqa: PLW2901
        if piece:
            parts.append(Part(piece))
    return tuple(parts)


def _images_first(messages: Sequence[Message], count: int) -> list[Message]:
    """LLaVA lets the marks be left out: the images then come before the first user's text."""
    first = next((index for index, message in enumerate(messages) if message.role == "user"), None)
    if first is None or not count:
        return list(messages)
    opened = Message("user", (IMAGE,) * count + messages[first].content)
    return [*messages[:first], opened, *messages[first + 1 :]]


def _from_example(example: ExportedExample, image_paths: Sequence[str]) -> dict[str, Any]:
    turns = [{"from": _SPEAKERS[m.role], "value": _text(m, example.id)} for m in example.messages]
    image = {} if not image_paths else {"image": image_paths[0] if len(image_paths) == 1 else [*image_paths]}
    return {"id": example.id, **image, "conversations": turns}


def _text(message: Message, example_id: str) -> str:
    """The message with <image> for each image, on a line of its own; the reverse of `_parts`."""
    if message.role != "user":
        if IMAGE in message.content:
            raise CannotExport(example_id, "llava", f"the {message.role}'s message holds an image")
        return text_of(message)
    if _MARK in text_of(message):
        raise CannotExport(example_id, "llava", f"the text holds {_MARK}, which would be taken for an image")
    return "\n".join(_MARK if part.text is None else part.text for part in joined(message.content))


FORMAT = Format(
    name="llava",
    description="Conversations about images, as LLaVA writes them, with <image> where an image stands.",
    kind=Kind.CHAT_WITH_IMAGES,
    kinds=frozenset({Kind.CHAT_WITH_IMAGES, Kind.CHAT}),
    file_names=("*.jsonl", "*.json"),
    layout=(
        "train.jsonl          one record a line (or one .json array)\n"
        "images/0001.jpg      named by the records, relative to the file"
    ),
    example_record=(
        '{"id": "1", "image": "images/0001.jpg", "conversations": ['
        '{"from": "human", "value": "<image>\\nWhat digit is this?"}, {"from": "gpt", "value": "Seven."}]}'
    ),
    record=LlavaRecord,
    to_draft=_to_draft,
    recognises=lambda value: "conversations" in value,
    from_example=_from_example,
)
