"""Imports that go on from a version: what they know of it, and which of its examples make room for new ones.

A record has the id that it names, or one made of its content. One of the second kind stands for the examples
of the base which have such ids and the same images (without images, the same content).
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from visiontune_data.carrying import BaseShard
from visiontune_data.example import Example, content_id
from visiontune_data.manifest import line_of
from visiontune_data.twins import Picture

_GENERATED = re.compile(r"([0-9a-f]{16})(-\d+)?")  # an id of content_id, or of a copy


class Mode(StrEnum):
    """What becomes of examples of the base that a new one has the id of."""

    APPEND = "append"  # it stays, and the new one is a problem
    REPLACE = "replace"  # it goes


@dataclass(frozen=True, slots=True)
class Base:
    """The version that an import goes on from."""

    name: str  # for people, as `v3`
    format: str
    shards: Sequence[BaseShard]
    mode: Mode


class _Known(NamedTuple):
    row: int
    split: str
    line: bytes  # sha256 of its line_of


@dataclass(slots=True)
class Joining:
    """What an import knows of its base; of none, nothing at all."""

    base: Base | None = None
    replaced: set[str] = field(default_factory=set)  # ids of examples of the base that go
    pictures: dict[str, Picture] = field(default_factory=dict)  # of the base, by sha256
    split_of_image: dict[str, str] = field(default_factory=dict)
    _known: dict[str, _Known] = field(default_factory=dict)  # by id
    _generated: dict[tuple[str, ...], list[str]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, base: Base | None) -> "Joining":
        """Reads the base."""
        made = cls(base)
        for shard in base.shards if base else ():
            for example in shard.rows():
                made._add(example)
        return made

    def _add(self, example: Example) -> None:
        assert self.base  # noqa: S101 (there are examples)
        self._known[example.id] = _Known(
            len(self._known), example.split, _line(example) if self.replaces else b""
        )
        for image in example.images:
            self.split_of_image.setdefault(image.sha256, example.split)
        for image in example.all_images:
            path = f"{self.base.name}:{image.path}"
            self.pictures.setdefault(image.sha256, Picture(path, image.sha256, image.phash))
        if generated := _GENERATED.fullmatch(example.id):
            self._generated[_images_of(example) or (generated[1],)].append(example.id)

    @property
    def replaces(self) -> bool:
        """Whether new examples take the places of others."""
        return self.base is not None and self.base.mode is Mode.REPLACE

    def is_taken(self, id_: str) -> bool:
        """Whether an example of the base that stays has the id."""
        return id_ in self._known and id_ not in self.replaced

    def taken_by(self, id_: str) -> str:
        """What has the id that a record names, for people; empty when nothing forbids it."""
        if id_ not in self._known or self.replaces or self.base is None:
            return ""
        return f"example {self._known[id_].row} of {self.base.name}"

    def split_of(self, id_: str) -> str | None:
        """The split of the base's example of that id."""
        known = self._known.get(id_)
        return known.split if known else None

    def replace(self, example: Example) -> None:
        """Notes what goes for a new example, whose id is that of its record or empty."""
        if not self.replaces:
            return
        if example.id:
            self.replaced.update({example.id} & self._known.keys())
        else:
            self.replaced.update(self._generated.get(_images_of(example) or (content_id(example),), ()))

    def keep(self, examples: Iterator[Example]) -> Collection[str]:
        """Ids of those that would replace what is the same in the base already, split and all: that stays."""
        if not self.replaced:
            return ()
        kept = {e.id for e in examples if e.id in self.replaced and self._known[e.id].line == _line(e)}
        self.replaced -= kept
        return kept


def _images_of(example: Example) -> tuple[str, ...]:
    return tuple(image.sha256 for image in example.all_images)


def _line(example: Example) -> bytes:
    return hashlib.sha256(line_of(example)).digest()
