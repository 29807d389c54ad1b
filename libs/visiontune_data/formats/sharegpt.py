"""ShareGPT's rows as LLaMA-Factory and ms-swift read them: turns with marks, and lists of what they mark."""

from collections.abc import Mapping, Sequence
from typing import Any

from visiontune_data.example import Draft, ImageRef, Kind, VideoRef
from visiontune_data.exported import ExportedExample
from visiontune_data.formats.format import Format, Notes, RecordModel
from visiontune_data.formats.llava import SPEAKERS, Turn, media_of, refs_of, videos_of
from visiontune_data.formats.turns import Turns, marked, role_of

_MISSING = 'no field "conversations", "query" or "instruction"'


class Row(RecordModel):
    """One conversation: as turns, or as a question and its answer with what was said before."""

    id: str | int | None = None
    system: str | None = None
    conversations: list[Turn] | None = None
    query: str | None = None
    response: str | None = None
    instruction: str | None = None
    input: str | None = None
    output: str | None = None
    history: list[list[str]] | None = None
    split: str | None = None


class ShareGptRecord(Row):
    """One conversation, its images and its videos."""

    images: str | list[str] | None = None
    videos: str | list[str | list[str]] | None = None


def read(row: Row, notes: Notes, *, videos: bool = False) -> Turns:
    """The turns of a row, whichever way it writes them."""
    turns = Turns(notes, videos)
    if row.system:
        turns.add("system", row.system, "$.system")
    for index, turn in enumerate(row.conversations or ()):
        path = f"$.conversations[{index}]"
        turns.add(role_of(turn.speaker, f"{path}.from", notes), turn.value, f"{path}.value")
    for index, said in enumerate(row.history or ()):
        for place, (role, text) in enumerate(zip(("user", "assistant"), said, strict=False)):
            turns.add(role_of(role, "", notes), text, f"$.history[{index}][{place}]")
    if row.query is not None:
        _ask(turns, row.query, "query", row.response, "response")
    elif row.instruction is not None:
        question = "\n".join(filter(None, [row.instruction, row.input]))
        _ask(turns, question, "instruction", row.output, "output")
    elif row.conversations is None:
        notes.add("field-missing", "$", _MISSING, "conversations")
    return turns


def _ask(turns: Turns, question: str, asked_in: str, answer: str | None, answered_in: str) -> None:
    turns.add("user", question, f"$.{asked_in}")
    if answer is None:
        turns.notes.add("field-missing", "$", f'no field "{answered_in}"', answered_in)
    else:
        turns.add("assistant", answer, f"$.{answered_in}")


def draft_of(
    row: Row, turns: Turns, images: Sequence[ImageRef] = (), videos: Sequence[VideoRef] = ()
) -> Draft:
    """The draft of a row's turns, images and videos."""
    placed = turns.place(images, "$", videos)
    return Draft(
        id=None if row.id is None else str(row.id),
        images=placed,
        messages=tuple(turns.messages),
        message_paths=tuple(turns.paths),
        split=row.split,
        metadata=dict(row.model_extra or {}),
    )


def _to_draft(record: ShareGptRecord, value: Mapping[str, Any], notes: Notes) -> Draft:
    turns = read(record, notes, videos=True)
    return draft_of(record, turns, refs_of(record.images, "$.images"), videos_of(record.videos, "$.videos"))


def _from_example(example: ExportedExample, image_paths: Sequence[str]) -> dict[str, Any]:
    turns = [
        {"from": SPEAKERS[m.role], "value": marked(m, example.id, "sharegpt", videos=True)}
        for m in example.messages
    ]
    images, videos = media_of(example, image_paths)
    return {"id": example.id, "conversations": turns, "images": images} | (
        {"videos": videos} if videos else {}
    )


FORMAT = Format(
    name="sharegpt",
    description="Conversations with lists of images and videos, as LLaMA-Factory and ms-swift take them.",
    kind=Kind.CHAT_WITH_IMAGES,
    kinds=frozenset({Kind.CHAT_WITH_IMAGES, Kind.CHAT_WITH_VIDEO, Kind.CHAT}),
    file_names=("*.jsonl", "*.json"),
    layout=(
        "train.jsonl          one record a line (or one .json array)\n"
        "images/0001.jpg      listed by the records, relative to the file"
    ),
    example_record=(
        '{"id": "1", "conversations": [{"from": "human", "value": "<image>What digit is this?"}, '
        '{"from": "gpt", "value": "Seven."}], "images": ["images/0001.jpg"]}'
    ),
    record=ShareGptRecord,
    to_draft=_to_draft,
    evidence="the records have `images` or `videos`, and `conversations`, `query` or `instruction`",
    recognises=lambda value: (
        bool({"images", "videos"} & value.keys())
        and bool({"conversations", "query", "instruction"} & value.keys())
    ),
    from_example=_from_example,
)
