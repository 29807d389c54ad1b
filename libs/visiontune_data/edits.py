"""Edits of a version's examples: what each makes of an example, checked as an import checks a record.

Edits are applied one after the other; what comes of them is gathered, and written by `rewrite`.
"""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

from visiontune_data import checks
from visiontune_data.columns import columns_for
from visiontune_data.example import (
    Draft,
    Example,
    ImageRef,
    Kind,
    Message,
    Part,
    canonical,
    content_id,
    joined,
)
from visiontune_data.formats import Notes
from visiontune_data.limits import Limits
from visiontune_data.previews import tags_of
from visiontune_data.report import Place, Problem
from visiontune_data.rules import RULES, Scope, Severity
from visiontune_data.text import shorten


@dataclass(frozen=True, slots=True)
class SetText:
    """Another text in a message, or of a caption. `part` counts the message's texts; None: it has but one."""

    example: str
    index: int  # of the message, or of the caption
    text: str
    is_caption: bool = False
    part: int | None = None


@dataclass(frozen=True, slots=True)
class SetSplit:
    """Another split."""

    example: str
    split: str


@dataclass(frozen=True, slots=True)
class SetTags:
    """All tags of the example; none removes them."""

    example: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Delete:
    """The example goes."""

    example: str


@dataclass(frozen=True, slots=True)
class Add:
    """A new example. Of its images path and sha256 are known; the rest once they are decoded.

    `uploads` are sha256 and object of those images that the version does not have.
    """

    new: Example
    uploads: tuple[tuple[str, str], ...] = ()


Edit = SetText | SetSplit | SetTags | Delete | Add


@dataclass(slots=True)
class Edited:
    """What edits make of the examples that `base` finds by id, in a version of these kinds."""

    base: Callable[[str], Example | None]
    kinds: Collection[str]
    limits: Limits
    changed: dict[str, Example | None] = field(default_factory=dict)  # by id; None: deleted
    added: dict[str, Example] = field(default_factory=dict)
    uploads: dict[str, str] = field(default_factory=dict)  # object by sha256

    def apply(self, edit: Edit) -> list[Problem]:
        """Applies an edit, unless an error is among the problems that are returned."""
        if isinstance(edit, Add):
            return self._add(edit)
        before = self._now(edit.example)
        if before is None:
            message = f'there is no example "{shorten(edit.example)}"'
            return [Problem("edit-unknown-example", Place(shorten(edit.example)), message)]
        if isinstance(edit, Delete):
            self._put(before.id, None)
            return []
        notes = Notes(Place(before.id, 0, "$"))
        after = _after(edit, before, notes)
        if after is not None:
            after = self._checked(after, notes)
        return self._settle(after, notes)

    def _add(self, edit: Add) -> list[Problem]:
        new = edit.new
        if not new.id:
            new = replace(new, id=self._free_id(content_id(new)))
        notes = Notes(Place(new.id, 0, "$"))
        if self._now(new.id) is not None:
            notes.add("id-duplicate", "$.id", f'the id "{shorten(new.id)}" is taken', new.id)
        if strange := set(columns_for([new.kind])) - set(columns_for([*map(Kind, self.kinds)])):
            notes.add("edit-other-kind", "$", f"it has {' and '.join(sorted(strange))}, the version none")
        marks = sum(part.text is None for message in new.messages for part in message.content)
        if new.messages and marks != len(new.images):
            found = f"{marks} places for images in the messages, {len(new.images)} images"
            notes.add("placeholder-count", "$.messages", found)
        problems = self._settle(self._checked(new, notes), notes, added=True)
        if not _has_error(problems):
            self.uploads.update(edit.uploads)
        return problems

    def _free_id(self, wanted: str) -> str:
        id_, copies = wanted, 1
        while self._now(id_) is not None:
            copies += 1
            id_ = f"{wanted}-{copies}"
        return id_

    def _now(self, id_: str) -> Example | None:
        if id_ in self.added:
            return self.added[id_]
        return self.changed[id_] if id_ in self.changed else self.base(id_)

    def _checked(self, example: Example, notes: Notes) -> Example:
        """The example with the rules that it breaks now; those of its images stay."""
        draft = Draft(
            id=example.id,
            images=tuple(ImageRef(image.path, "$.images") for image in example.images),
            messages=example.messages,
            message_paths=tuple(f"$.messages[{index}]" for index in range(len(example.messages))),
            texts=example.texts,
            text_paths=tuple(f"$.texts[{index}]" for index in range(len(example.texts))),
            split=example.split,
        )
        checks.check(draft, self.limits, notes)
        texts = [*example.texts, *(p.text or "" for m in example.messages for p in m.content)]
        if any("\0" in text for text in texts):
            notes.add("json-nul", "$", "the text contains U+0000")
        kept = {rule for rule in example.problems if rule in RULES and RULES[rule].scope is Scope.IMAGE}
        problems = sorted(kept | {problem.rule for problem in notes.problems})
        return replace(
            example, split=checks.SPLITS.get(example.split, example.split), problems=tuple(problems)
        )

    def _settle(self, after: Example | None, notes: Notes, *, added: bool = False) -> list[Problem]:
        if after is not None and not _has_error(notes.problems):
            if added:
                self.added[after.id] = after
            else:
                self._put(after.id, after)
        return notes.problems

    def _put(self, id_: str, after: Example | None) -> None:
        if id_ not in self.added:
            self.changed[id_] = after
        elif after is None:
            del self.added[id_]
        else:
            self.added[id_] = after


def _has_error(problems: list[Problem]) -> bool:
    return any(problem.severity is Severity.ERROR for problem in problems)


def _after(edit: SetText | SetSplit | SetTags, before: Example, notes: Notes) -> Example | None:
    match edit:
        case SetSplit(split=split):
            return replace(before, split=split)
        case SetTags(tags=tags):
            return replace(before, metadata_json=_with_tags(before.metadata_json, tags))
        case SetText(index=index, text=text, is_caption=True):
            if index >= len(before.texts):
                notes.add("edit-no-such-text", f"$.texts[{index}]", _has(len(before.texts), "captions"))
                return None
            return replace(before, texts=(*before.texts[:index], text, *before.texts[index + 1 :]))
        case SetText(index=index):
            if index >= len(before.messages):
                notes.add("edit-no-such-text", f"$.messages[{index}]", _has(len(before.messages), "messages"))
                return None
            message = _said(before.messages[index], edit, notes)
            if message is None:
                return None
            return replace(
                before, messages=(*before.messages[:index], message, *before.messages[index + 1 :])
            )


def _said(message: Message, edit: SetText, notes: Notes) -> Message | None:
    """The message with the text in the place of one of its texts, or after its images if it has none."""
    places = [place for place, part in enumerate(message.content) if part.text is not None]
    path = f"$.messages[{edit.index}]"
    if edit.part is None and len(places) > 1:
        found = (
            f"the message has {len(places)} texts between its images; say which: part 0 to {len(places) - 1}"
        )
        notes.add("edit-no-such-text", path, found)
        return None
    if edit.part is not None and edit.part >= max(len(places), 1):
        notes.add("edit-no-such-text", f"{path}.content", _has(len(places), "texts"))
        return None
    place = places[edit.part or 0] if places else len(message.content)
    content = (*message.content[:place], Part(edit.text), *message.content[place + 1 :])
    return Message(message.role, joined(content))


def _has(count: int, what: str) -> str:
    return f"there are {count} {what}, counted from 0"


def _with_tags(metadata_json: str, tags: tuple[str, ...]) -> str:
    metadata = json.loads(metadata_json or "{}")
    metadata.pop("tags", None)
    if tags:
        metadata["tags"] = list(dict.fromkeys(tags))
    return canonical(metadata).decode() if metadata else ""


def changes_between(before: Example, after: Example) -> tuple[str, ...]:
    """What differs between two examples of the same id, as names of fields."""
    fields: dict[str, list[Any]] = {
        "images": [[i.sha256 for i in e.images] for e in (before, after)],
        "negatives": [[i.sha256 for i in e.negatives or ()] for e in (before, after)],
        "messages": [e.messages for e in (before, after)],
        "texts": [e.texts for e in (before, after)],
        "split": [e.split for e in (before, after)],
        "tags": [tags_of(e) for e in (before, after)],
        "metadata": [_with_tags(e.metadata_json, ()) for e in (before, after)],
    }
    return tuple(name for name, (old, new) in fields.items() if old != new)
