"""Images with captions for contrastive training: JSON lines, open_clip's tables, or WebDataset's pairs."""

from collections.abc import Mapping
from typing import Any

from pydantic import AliasChoices, Field

from visiontune_data.example import Draft, ImageRef, Kind
from visiontune_data.formats.format import Format, Notes, RecordModel
from visiontune_data.formats.image_caption import captions, record_of
from visiontune_data.pairs import webdataset_key

_IMAGE_FIELDS = ("image", "filepath", "file_name", "image_path", "file_path", "filename", "path")
_CAPTION_FIELDS = ("text", "caption", "texts", "captions", "title")


class ClipRecord(RecordModel):
    """One image and its caption, or several captions of it."""

    id: str | int | None = None
    image: str = Field(validation_alias=AliasChoices(*_IMAGE_FIELDS))
    text: str | list[str] = Field(validation_alias=AliasChoices(*_CAPTION_FIELDS))
    split: str | None = None


def _to_draft(record: ClipRecord, value: Mapping[str, Any], notes: Notes) -> Draft:
    texts, paths = captions(record.text, value, _CAPTION_FIELDS)
    image = next(name for name in _IMAGE_FIELDS if name in value)
    return Draft(
        id=None if record.id is None else str(record.id),
        images=(ImageRef(record.image, f"$.{image}"),),
        texts=texts,
        text_paths=paths,
        split=record.split,
        metadata=dict(record.model_extra or {}),
    )


def _recognises(value: Mapping[str, Any]) -> bool:
    return not value.keys().isdisjoint(_IMAGE_FIELDS) and not value.keys().isdisjoint(_CAPTION_FIELDS)


FORMAT = Format(
    name="clip",
    description="Images with one or more captions: JSON lines, a table with a header, or WebDataset's pairs.",
    kind=Kind.CAPTIONED_IMAGE,
    kinds=frozenset({Kind.CAPTIONED_IMAGE}),
    file_names=("*.jsonl", "*.json", "*.csv", "*.tsv"),
    layout=(
        "train.jsonl          one record a line (or .json, .csv, .tsv with a header)\n"
        "images/0001.jpg      named by image, relative to the file\n"
        "or, without a file of records:\n"
        "0001.jpg, 0001.txt, 0001.json   an image, its caption, and more about it"
    ),
    example_record='{"image": "images/0001.jpg", "text": ["a handwritten seven", "the digit 7"]}',
    record=ClipRecord,
    to_draft=_to_draft,
    evidence="the records have an image and a caption",
    recognises=_recognises,
    from_example=lambda example, paths: record_of(example, paths, "clip", "image"),
    sidecars=("txt", "json"),
    pair_key=webdataset_key,
)
