"""Well-formed records, spooled from when they are read until their images are decoded."""

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from visiontune_data.example import Draft, Example, Image, Message, Part, Role, canonical_text
from visiontune_data.report import Place
from visiontune_data.spool import Spool

_AT_ONCE = 32  # rows, of at most a MiB each, so that files are written and read seldom


class Paths(NamedTuple):
    """The paths of an example's images, and of its negatives if it can have some."""

    images: list[str]
    negatives: list[str] | None

    @property
    def all(self) -> list[str]:
        """Both."""
        return self.images + (self.negatives or [])


class Row(NamedTuple):
    """A draft without what only its record needed, as plain as pickle is quick with."""

    member: str
    line: int
    id: str | None
    paths: Paths
    messages: list[tuple[Role, list[str | int | None]]]  # with the codes of their parts
    texts: tuple[str, ...]
    split: str  # as the data names it, or ""
    metadata_json: str
    problems: tuple[str, ...]

    @property
    def place(self) -> Place:
        """Where its record is."""
        return Place(self.member, self.line)

    def example(
        self, id_: str, images: Sequence[Image], negatives: Sequence[Image] | None, split: str,
        problems: tuple[str, ...],
    ) -> Example:  # fmt: skip
        """The example, with what is known of it by now."""
        return Example(
            id_,
            tuple(images),
            tuple([Message(role, tuple(map(Part.of, codes))) for role, codes in self.messages]),
            self.texts,
            split,
            self.metadata_json,
            problems,
            None if negatives is None else tuple(negatives),
        )


@dataclass(slots=True)
class Drafts:
    """The drafts in the order of their records. What is iterated over does not grow any more."""

    spool: Spool
    used_images: set[str] = field(default_factory=set)
    file_splits: list[str] = field(default_factory=list)  # the splits that files of records name
    _waiting: list[Row] = field(default_factory=list)  # to be spooled

    def add(
        self,
        draft: Draft,
        image_paths: Paths,
        split: str | None,
        place: Place,
        problems: Sequence[str] = (),
    ) -> None:
        """Spools one, with the rules that its record breaks."""
        messages = [(m.role, [part.code for part in m.content]) for m in draft.messages]
        metadata = canonical_text(draft.metadata) if draft.metadata else ""
        self._waiting.append(
            Row(
                place.member, place.line, draft.id, image_paths, messages, draft.texts, split or "", metadata,
                tuple(problems),
            )
        )  # fmt: skip
        if len(self._waiting) == _AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        self.spool.append([pickle.dumps(self._waiting)])
        self._waiting = []

    def __iter__(self) -> Iterator[Row]:
        if self._waiting:
            self._flush()
        with self.spool.path.open("rb") as spooled:
            while spooled.peek(1):
                yield from pickle.load(spooled)  # noqa: S301 (from our own scratch, faster than JSON)
