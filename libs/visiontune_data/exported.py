"""An example on its way out: what an export writes, and what formats make their records of."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from visiontune_data.example import Kind, Message, Part, kind_of, with_videos
from visiontune_data.text import shorten


class CannotExport(Exception):  # noqa: N818 (named for what happened)
    """An example holds what the wanted format has no place for; the message says what."""

    def __init__(self, example_id: str, format_name: str, reason: str) -> None:
        super().__init__(f'the example "{shorten(example_id)}" cannot be written as {format_name}: {reason}')


@dataclass(frozen=True, slots=True)
class ExportedImage:
    """An image: its original bytes, the path that it was imported from, the digest of the bytes in hex."""

    data: bytes
    path: str
    sha256: str

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The image out of a shard's `struct<bytes, path>`."""
        return cls(row["bytes"], row["path"] or "", hashlib.sha256(row["bytes"]).hexdigest())


@dataclass(frozen=True, slots=True)
class ExportedExample:
    """One canonical example with its images.

    `negatives` are the images that a query (its text) shall not find; None when it is no query.
    """

    id: str
    images: tuple[ExportedImage, ...]
    messages: tuple[Message, ...] = ()
    texts: tuple[str, ...] = ()
    negatives: tuple[ExportedImage, ...] | None = None
    split: str = "train"
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The example out of a row of a shard, as `to_pylist` gives it."""
        negatives = row.get("negatives")
        return cls(
            id=row["id"],
            images=tuple(map(ExportedImage.from_row, row.get("images") or ())),
            messages=with_videos(map(_message, row.get("messages") or ()), row.get("frames") or ()),
            texts=tuple(row.get("texts") or ()),
            negatives=None if negatives is None else tuple(map(ExportedImage.from_row, negatives)),
            split=row["split"],
            metadata=json.loads(row.get("metadata") or "{}"),
        )

    @property
    def kind(self) -> Kind:
        """What it can train."""
        return kind_of(self.messages, self.images, self.negatives, self.texts)


def _message(row: Mapping[str, Any]) -> Message:
    return Message(row["role"], tuple(Part(part["text"]) for part in row["content"]))
