"""Messages of role and content, as chat templates and the OpenAI API have them: text, or a list of parts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from visiontune_data.example import Part
from visiontune_data.formats.format import Notes, RecordModel
from visiontune_data.formats.turns import MediaRef, Turns, role_of
from visiontune_data.text import shorten


class ContentPart(RecordModel):
    """A piece of a message; formats add what else it may be."""

    type: str
    text: str | None = None


class ChatMessage(RecordModel):
    """One turn of text alone."""

    role: str
    content: str | list[ContentPart]


Read = Callable[[Any, str], Part | MediaRef | None]  # a part and its path; None: of no known type


def read(
    messages: Sequence[Any],
    notes: Notes,
    read_part: Read,
    types: str,
    *,
    videos: bool = False,
    json_path: str = "$.messages",
) -> Turns:
    """The turns at `json_path`. Notes a part that `read_part` does not know; it knows `types`."""
    turns = Turns(notes, videos)
    for index, message in enumerate(messages):
        path = f"{json_path}[{index}]"
        role = role_of(message.role, f"{path}.role", notes)
        if isinstance(message.content, str):
            turns.add(role, message.content, f"{path}.content")
        else:
            content = _parts(message.content, f"{path}.content", notes, read_part, types)
            turns.add_parts(role, content, f"{path}.content")
    return turns


def _parts(
    content: Sequence[Any], path: str, notes: Notes, read_part: Read, types: str
) -> Iterator[Part | MediaRef]:
    for index, part in enumerate(content):
        here = f"{path}[{index}]"
        if part.type == "text" and part.text is None:
            notes.add("field-missing", here, 'no field "text"', "text")
        elif part.type == "text":
            yield Part(part.text)
        elif found := read_part(part, here):
            yield found
        else:
            message = f'the type "{shorten(part.type)}" is none of {types}'
            notes.add("content-type-unknown", f"{here}.type", message, part.type)


def part_types(value: Mapping[str, Any]) -> set[str]:
    """The types of the parts in an unchecked record's messages."""
    turns = value.get("messages")
    contents = (
        [turn.get("content") for turn in turns if isinstance(turn, dict)] if isinstance(turns, list) else []
    )
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return {str(part.get("type")) for part in parts if isinstance(part, dict)}
