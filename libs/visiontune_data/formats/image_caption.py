"""Images with captions: ImageFolder's metadata.jsonl or metadata.csv, or a .txt beside each image."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import AliasChoices, Field

from visiontune_data.example import Draft, ImageRef, Kind
from visiontune_data.exported import CannotExport, ExportedExample
from visiontune_data.formats.format import Format, Notes, RecordModel

_CAPTION_FIELDS = ("text", "caption", "texts", "captions")


class CaptionRecord(RecordModel):
    """One image and its caption, or several captions of it."""

    id: str | int | None = None
    file_name: str
    text: str | list[str] = Field(validation_alias=AliasChoices(*_CAPTION_FIELDS))
    split: str | None = None


def _to_draft(record: CaptionRecord, value: Mapping[str, Any], notes: Notes) -> Draft:
    texts, paths = captions(record.text, value, _CAPTION_FIELDS)
    return Draft(
        id=None if record.id is None else str(record.id),
        images=(ImageRef(record.file_name, "$.file_name"),),
        texts=texts,
        text_paths=paths,
        split=record.split,
        metadata=dict(record.model_extra or {}),
    )


def captions(
    text: str | list[str], value: Mapping[str, Any], fields: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The captions of a record and their JSON paths; an empty list counts as one caption without text."""
    path = f"$.{next(name for name in fields if name in value)}"
    if isinstance(text, list) and text:
        return tuple(text), tuple(f"{path}[{index}]" for index in range(len(text)))
    return (text if isinstance(text, str) else "",), (path,)


def record_of(
    example: ExportedExample, image_paths: Sequence[str], format_name: str, image_field: str
) -> dict[str, Any]:
    """The record of an image and its captions."""
    if len(image_paths) != 1:
        raise CannotExport(example.id, format_name, f"it has {len(image_paths)} images, not one")
    text = example.texts[0] if len(example.texts) == 1 else list(example.texts)
    return {"id": example.id, image_field: image_paths[0], "text": text}


FORMAT = Format(
    name="image-caption",
    description="Images with one or more captions, as Hugging Face's ImageFolder lays them out.",
    kind=Kind.CAPTIONED_IMAGE,
    kinds=frozenset({Kind.CAPTIONED_IMAGE}),
    file_names=("metadata.jsonl", "metadata.csv"),
    layout=(
        "metadata.jsonl       one record a line (or metadata.csv with a header)\n"
        "0001.jpg             named by file_name, relative to the file\n"
        "or, without a file of records:\n"
        "0001.jpg, 0001.txt   an image and its caption"
    ),
    example_record='{"file_name": "0001.jpg", "text": "a handwritten seven"}',
    record=CaptionRecord,
    to_draft=_to_draft,
    evidence="the records have `file_name` and a caption",
    recognises=lambda value: "file_name" in value,
    from_example=lambda example, paths: record_of(example, paths, "image-caption", "file_name"),
    sidecars=("txt",),
    export_path="{split}/metadata.jsonl",
)
