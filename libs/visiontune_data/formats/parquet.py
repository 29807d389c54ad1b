"""Canonical examples as rows of Parquet, which Hugging Face `datasets` and TRL load as they are."""

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from visiontune_data.example import IMAGE, Draft, ImageRef, Kind, Message, Part, VideoRef, with_videos
from visiontune_data.exported import ExportedExample, ExportedImage
from visiontune_data.formats.format import Format, Notes, RecordModel
from visiontune_data.formats.llava import refs_of
from visiontune_data.formats.messages import ChatMessage, ContentPart, read
from visiontune_data.formats.turns import MediaRef
from visiontune_data.previews import frames_of, message_of, stored_messages


class Run(RecordModel):
    """A video: the place of its first frame among the images, and how many there are."""

    first: int
    count: int


class ParquetRow(RecordModel):
    """One example. Its images are structs of bytes and path in the file; here they are paths already."""

    id: str | None = None
    images: list[str] | None = None
    messages: list[ChatMessage] | None = None
    frames: list[Run] | None = None
    texts: list[str] | None = None
    negatives: list[str] | None = None
    split: str | None = None
    metadata: str = "{}"


def _to_draft(record: ParquetRow, value: Mapping[str, Any], notes: Notes) -> Draft:
    turns = read(record.messages or (), notes, _read_part, "text, image")
    images = refs_of(record.images, "$.images")
    texts = tuple(record.texts or ())
    try:
        metadata = json.loads(record.metadata)
    except ValueError:
        metadata = None
    if not isinstance(metadata, dict):
        notes.add("field-type", "$.metadata", "expected the text of a JSON object", record.metadata)
    refs: Sequence[MediaRef] = turns.place(images, "$.messages") if turns.messages else images
    messages = with_videos(turns.messages, [run.model_dump() for run in record.frames or ()])
    return Draft(
        id=record.id,
        images=_grouped(messages, refs) if record.frames else tuple(refs),
        messages=messages,
        message_paths=tuple(turns.paths),
        texts=texts,
        text_paths=tuple(f"$.texts[{index}]" for index in range(len(texts))),
        negatives=None if record.negatives is None else refs_of(record.negatives, "$.negatives"),
        split=record.split,
        metadata=dict(metadata or {}) | dict(record.model_extra or {}),
    )


def _grouped(messages: Sequence[Message], refs: Sequence[MediaRef]) -> tuple[MediaRef, ...]:
    """The images, those of a video as one."""
    following = iter(refs)
    made: list[MediaRef] = []
    for part in (part for message in messages for part in message.content if part.text is None):
        some = list(itertools.islice(following, part.frames or 1))
        frames = tuple(ref.path for ref in some if isinstance(ref, ImageRef))
        made += [VideoRef(frames, some[0].json_path)] if part.frames and some else some
    return tuple(made)


def _read_part(part: ContentPart, path: str) -> Part | None:
    return IMAGE if part.type == "image" else None


def _from_example(example: ExportedExample, image_paths: Sequence[str]) -> dict[str, Any]:
    shown = [message_of(message) for message in example.messages]
    return {
        "id": example.id,
        "images": _structs(example.images),
        "messages": stored_messages(shown),
        "frames": frames_of(shown),
        "texts": list(example.texts),
        "negatives": None if example.negatives is None else _structs(example.negatives),
        "split": example.split,
        "metadata": json.dumps(example.metadata, ensure_ascii=False, sort_keys=True),
    }


def _structs(images: Sequence[ExportedImage]) -> list[dict[str, Any]]:
    return [{"bytes": image.data, "path": image.path} for image in images]


FORMAT = Format(
    name="parquet",
    description="Examples of any kind as Hugging Face's Parquet files, with the images in the rows.",
    kind=Kind.CHAT_WITH_IMAGES,
    kinds=frozenset(Kind),
    file_names=("*.parquet",),
    layout=(
        "train-00000-of-00001.parquet\n"
        "    columns id, images, messages, frames, texts, negatives, split, metadata"
    ),
    example_record=(
        '{"id": "1", "images": ["0001.jpg"], "messages": [{"role": "user", "content": [{"type": "image"}, '
        '{"type": "text", "text": "What digit?"}]}, '
        '{"role": "assistant", "content": [{"type": "text", "text": "Seven."}]}], "metadata": "{}"}'
    ),
    record=ParquetRow,
    to_draft=_to_draft,
    evidence="the rows have `metadata` and `messages` or `texts`, as examples are stored",
    recognises=lambda value: "metadata" in value and not value.keys().isdisjoint({"messages", "texts"}),
    from_example=_from_example,
    embeds_images=True,
    export_path="{split}-00000-of-00001.parquet",
)
