"""Conversations as most formats write them: who speaks, and texts in which marks are the places of images."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from visiontune_data.example import IMAGE, ImageRef, Message, Part, Role, joined, text_of
from visiontune_data.exported import CannotExport
from visiontune_data.formats.format import Notes
from visiontune_data.text import shorten

IMAGE_MARK = "<image>"
ROLES: Mapping[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "system": "system",
    "developer": "system",
}
_MARKS = re.compile(f"({IMAGE_MARK})")


def role_of(speaker: str, json_path: str, notes: Notes) -> Role:
    """The role of a speaker; notes one that is not known."""
    role = ROLES.get(speaker)
    if role is None:
        message = f'the role "{shorten(speaker)}" is none of {", ".join(ROLES)}'
        notes.add("role-unknown", json_path, message, speaker)
    return role or "user"


@dataclass(slots=True)
class Turns:
    """A conversation that grows by a turn, and what its places of images hold."""

    notes: Notes
    messages: list[Message] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)  # of the texts
    _slots: list[ImageRef | None] = field(default_factory=list)  # None: the next of the record's list

    def add(self, role: Role, text: str, json_path: str) -> None:
        """Adds a text; in a user's, each mark is the place of an image that the record lists."""
        self.add_parts(role, parts(text) if role == "user" else [Part(text)], json_path)

    def add_parts(self, role: Role, content: Iterable[Part | ImageRef], json_path: str) -> None:
        """Adds a message of parts, of which some name their image."""
        content = list(content)
        self._slots += [
            None if isinstance(part, Part) else part
            for part in content
            if not isinstance(part, Part) or part.text is None
        ]
        self.messages.append(
            Message(role, joined(part if isinstance(part, Part) else IMAGE for part in content))
        )
        self.paths.append(json_path)

    def place(self, listed: Sequence[ImageRef], json_path: str) -> tuple[ImageRef, ...]:
        """All images in the order of their places, once those that the record lists are in theirs.

        In a conversation without places they come before the first user's text. Notes at `json_path` when
        there are more places than images, or fewer.
        """
        if not self._slots:
            self.messages = _images_first(self.messages, len(listed))
            return tuple(listed)
        if (marks := self._slots.count(None)) != len(listed):
            found = f"{marks} {IMAGE_MARK} marks for {len(listed)} images"
            self.notes.add("placeholder-count", json_path, found, str(marks))
        following = iter(listed)
        return tuple(filter(None, (slot or next(following, None) for slot in self._slots)))


def parts(text: str) -> Iterator[Part]:
    """The text cut at its marks; the line breaks that are usual around a mark go with it."""
    pieces = _MARKS.split(text)  # texts and marks in turn
    for index, piece in enumerate(pieces):
        if index % 2:
            yield IMAGE
            continue
        begun = piece.removeprefix("\n") if index else piece
        yield Part(begun.removesuffix("\n") if index < len(pieces) - 1 else begun)


def _images_first(messages: Sequence[Message], count: int) -> list[Message]:
    first = next((index for index, message in enumerate(messages) if message.role == "user"), None)
    if first is None or not count:
        return list(messages)
    opened = Message("user", (IMAGE,) * count + messages[first].content)
    return [*messages[:first], opened, *messages[first + 1 :]]


def marked(message: Message, example_id: str, format_name: str) -> str:
    """The message's text with a mark on a line of its own for each image; the reverse of `parts`."""
    if message.role != "user" and IMAGE in message.content:
        raise CannotExport(example_id, format_name, f"the {message.role}'s message holds an image")
    if message.role == "user" and IMAGE_MARK in text_of(message):
        reason = f"the text holds {IMAGE_MARK}, which would be taken for an image"
        raise CannotExport(example_id, format_name, reason)
    return "\n".join(IMAGE_MARK if part.text is None else part.text for part in joined(message.content))
