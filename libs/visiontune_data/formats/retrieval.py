"""Queries with the images that they shall find and, where there are some, images that they shall not."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import AliasChoices, Field

from visiontune_data.example import Draft, Kind
from visiontune_data.exported import ExportedExample
from visiontune_data.formats.format import Format, Notes, RecordModel
from visiontune_data.formats.llava import refs_of

_POSITIVE_FIELDS = ("image", "pos_target", "positive")
_NEGATIVE_FIELDS = ("negatives", "neg_target", "negative")


class RetrievalRecord(RecordModel):
    """One query."""

    id: str | int | None = None
    query: str
    image: str | list[str] = Field(validation_alias=AliasChoices(*_POSITIVE_FIELDS))
    negatives: str | list[str] | None = Field(None, validation_alias=AliasChoices(*_NEGATIVE_FIELDS))
    split: str | None = None


def _to_draft(record: RetrievalRecord, value: Mapping[str, Any], notes: Notes) -> Draft:
    positive = next(name for name in _POSITIVE_FIELDS if name in value)
    negative = next((name for name in _NEGATIVE_FIELDS if name in value), "")
    images = refs_of(record.image, f"$.{positive}")
    if not images:
        notes.add("field-missing", f"$.{positive}", "the query has no image to find", positive)
    return Draft(
        id=None if record.id is None else str(record.id),
        images=images,
        texts=(record.query,),
        text_paths=("$.query",),
        negatives=refs_of(record.negatives, f"$.{negative}"),
        split=record.split,
        metadata=dict(record.model_extra or {}),
    )


def _from_example(example: ExportedExample, image_paths: Sequence[str]) -> dict[str, Any]:
    count = len(example.images)
    positive: Any = image_paths[0] if count == 1 else [*image_paths[:count]]
    return {
        "id": example.id,
        "query": example.texts[0],
        "image": positive,
        "negatives": [*image_paths[count:]],
    }


FORMAT = Format(
    name="retrieval",
    description="Queries with the images that they shall find, and images that they shall not.",
    kind=Kind.RETRIEVAL,
    kinds=frozenset({Kind.RETRIEVAL}),
    file_names=("*.jsonl", "*.json"),
    layout=(
        "train.jsonl          one record a line (or one .json array)\n"
        "pages/0007.jpg       named by image and negatives, relative to the file"
    ),
    example_record='{"query": "The total?", "image": "pages/0007.jpg", "negatives": ["pages/0001.jpg"]}',
    record=RetrievalRecord,
    to_draft=_to_draft,
    evidence="the records have a `query` and an image to find",
    recognises=lambda value: "query" in value and not value.keys().isdisjoint(_POSITIVE_FIELDS),
    from_example=_from_example,
)
