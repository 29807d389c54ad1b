"""Conversations as most formats write them: who speaks, and texts in which marks are the places of images."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from visiontune_data.example import IMAGE, VIDEO, ImageRef, Message, Part, Role, VideoRef, joined, text_of
from visiontune_data.exported import CannotExport
from visiontune_data.formats.format import Notes
from visiontune_data.text import shorten

IMAGE_MARK, VIDEO_MARK = "<image>", "<video>"
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
_IMAGE_MARKS = re.compile(f"({IMAGE_MARK})")
_ALL_MARKS = re.compile(f"({IMAGE_MARK}|{VIDEO_MARK})")
_PLACES = {IMAGE_MARK: IMAGE, VIDEO_MARK: VIDEO}
MediaRef = ImageRef | VideoRef


def role_of(speaker: str, json_path: str, notes: Notes) -> Role:
    """The role of a speaker; notes one that is not known."""
    role = ROLES.get(speaker)
    if role is None:
        message = f'the role "{shorten(speaker)}" is none of {", ".join(ROLES)}'
        notes.add("role-unknown", json_path, message, speaker)
    return role or "user"


@dataclass(slots=True)
class Turns:
    """A conversation that grows by a turn, and what its places of images and videos hold.

    Only with `videos` is <video> a mark in text.
    """

    notes: Notes
    videos: bool = False
    messages: list[Message] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)  # of the texts
    _slots: list[MediaRef | Part] = field(default_factory=list)  # IMAGE, VIDEO: the next of the record's list

    def add(self, role: Role, text: str, json_path: str) -> None:
        """Adds a text; in a user's, each mark is the place of an image that the record lists."""
        marks = _ALL_MARKS if self.videos else _IMAGE_MARKS
        if role == "user" and marks.search(text):
            self.add_parts(role, parts(text, marks), json_path)
        else:
            self.messages.append(Message(role, (Part(text),) if text else ()))
            self.paths.append(json_path)

    def add_parts(self, role: Role, content: Iterable[Part | MediaRef], json_path: str) -> None:
        """Adds a message of parts, of which some name their image or video."""
        content = list(content)
        self._slots += [each for each in content if not isinstance(each, Part) or each.text is None]
        self.messages.append(Message(role, joined(map(_place_of, content))))
        self.paths.append(json_path)

    def place(
        self, images: Sequence[MediaRef], json_path: str, videos: Sequence[MediaRef] = ()
    ) -> tuple[MediaRef, ...]:
        """All images and videos in the order of their places, once those that the record lists are in theirs.

        In a conversation without places they come before the first user's text. Notes at `json_path` when
        there are more places than images, or fewer.
        """
        if not self._slots:
            self.messages = _first(self.messages, [IMAGE] * len(images) + [VIDEO] * len(videos))
            return (*images, *videos)
        if not videos and self._slots == [IMAGE] * len(images):
            return tuple(images)
        for mark, listed in ((IMAGE_MARK, images), (VIDEO_MARK, videos)):
            if (marks := self._slots.count(_PLACES[mark])) != len(listed):
                found = f"{marks} {mark} marks for {len(listed)} {mark[1:-1]}s"
                self.notes.add("placeholder-count", json_path, found, str(marks))
        following = {IMAGE: iter(images), VIDEO: iter(videos)}
        slots = (next(following[slot], None) if isinstance(slot, Part) else slot for slot in self._slots)
        return tuple(filter(None, slots))


def _place_of(part: Part | MediaRef) -> Part:
    if isinstance(part, Part):
        return part
    return VIDEO if isinstance(part, VideoRef) else IMAGE


def parts(text: str, marks: re.Pattern[str]) -> Iterator[Part]:
    """The text cut at its marks; the line breaks that are usual around a mark go with it."""
    pieces = marks.split(text)  # texts and marks in turn
    for index, piece in enumerate(pieces):
        if index % 2:
            yield _PLACES[piece]
            continue
        begun = piece.removeprefix("\n") if index else piece
        yield Part(begun.removesuffix("\n") if index < len(pieces) - 1 else begun)


def _first(messages: Sequence[Message], places: Sequence[Part]) -> list[Message]:
    """The messages with these places before the first user's text."""
    first = next((index for index, message in enumerate(messages) if message.role == "user"), None)
    if first is None or not places:
        return list(messages)
    opened = Message("user", (*places, *messages[first].content))
    return [*messages[:first], opened, *messages[first + 1 :]]


def marked(message: Message, example_id: str, format_name: str, *, videos: bool = False) -> str:
    """The message's text with a mark on a line of its own for each image or video; the reverse of `parts`."""
    if message.role != "user" and any(part.text is None for part in message.content):
        raise CannotExport(example_id, format_name, f"the {message.role}'s message holds an image")
    marks = (IMAGE_MARK, VIDEO_MARK) if videos else (IMAGE_MARK,)
    if message.role == "user" and (mark := next((m for m in marks if m in text_of(message)), "")):
        taken_for = "an image" if mark == IMAGE_MARK else "a video"
        reason = f"the text holds {mark}, which would be taken for {taken_for}"
        raise CannotExport(example_id, format_name, reason)
    places = {"image": IMAGE_MARK, "video": VIDEO_MARK}
    return "\n".join(places[p.type] if p.text is None else p.text for p in joined(message.content))
