"""LLaVA's conversations: JSON with `image` and turns that mark each image's place by <image>."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from visiontune_data import image_kinds
from visiontune_data.example import Draft, ImageRef, Kind, Role, VideoRef
from visiontune_data.exported import ExportedExample
from visiontune_data.formats.format import Format, Notes, RecordModel
from visiontune_data.formats.turns import Turns, marked, role_of
from visiontune_data.paths import suffix

SPEAKERS: Mapping[Role, str] = {"user": "human", "assistant": "gpt", "system": "system"}


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
    turns = turns_of(record.conversations, "$.conversations", notes)
    images = refs_of(record.image, "$.image")
    turns.place(images, "$.conversations")
    return Draft(
        id=None if record.id is None else str(record.id),
        images=images,
        messages=tuple(turns.messages),
        message_paths=tuple(turns.paths),
        split=record.split,
        metadata=dict(record.model_extra or {}),
    )


def turns_of(conversation: Sequence[Turn], json_path: str, notes: Notes, *, videos: bool = False) -> Turns:
    """The turns of a conversation of from and value."""
    turns = Turns(notes, videos)
    for index, turn in enumerate(conversation):
        role = role_of(turn.speaker, f"{json_path}[{index}].from", notes)
        turns.add(role, turn.value, f"{json_path}[{index}].value")
    return turns


def refs_of(paths: str | Sequence[str] | None, json_path: str) -> tuple[ImageRef, ...]:
    """The images of a field that holds one path, several, or none."""
    if paths is None:
        return ()
    if isinstance(paths, str):
        return (ImageRef(paths, json_path),)
    return tuple(ImageRef(path, f"{json_path}[{index}]") for index, path in enumerate(paths))


def videos_of(value: str | Sequence[str | Sequence[str]] | None, json_path: str) -> tuple[VideoRef, ...]:
    """The videos of a field that holds one path, several, lists of frames, or none.

    A list of images is one video: its frames.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        return (VideoRef((value,), json_path),)
    if value and all(isinstance(each, str) and suffix(each) in image_kinds.SUFFIXES for each in value):
        return (VideoRef(tuple(map(str, value)), json_path),)
    return tuple(
        VideoRef((each,) if isinstance(each, str) else tuple(each), f"{json_path}[{index}]")
        for index, each in enumerate(value)
    )


def media_of(example: ExportedExample, image_paths: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """The paths of the images, and of each video's frames."""
    following = iter(image_paths)
    images: list[str] = []
    videos: list[list[str]] = []
    for part in (part for message in example.messages for part in message.content):
        if part.type == "image":
            images.append(next(following))
        elif part.type == "video":
            videos.append(list(itertools.islice(following, part.frames)))
    return images, videos


def _from_example(example: ExportedExample, image_paths: Sequence[str]) -> dict[str, Any]:
    turns = [{"from": SPEAKERS[m.role], "value": marked(m, example.id, "llava")} for m in example.messages]
    image = {} if not image_paths else {"image": image_paths[0] if len(image_paths) == 1 else [*image_paths]}
    return {"id": example.id, **image, "conversations": turns}


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
    evidence="the records have `conversations`, and an `image` but where they are text alone",
    recognises=lambda value: "conversations" in value and not {"images", "video", "videos"} & value.keys(),
    from_example=_from_example,
)
