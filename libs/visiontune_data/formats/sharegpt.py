"""ShareGPT's rows as LLaMA-Factory and ms-swift read them: turns with <image> marks, and a list of images."""

from collections.abc import Mapping, Sequence
from typing import Any

from visiontune_data.example import Draft, Kind
from visiontune_data.exported import ExportedExample
from visiontune_data.formats.format import Format, Notes, RecordModel
from visiontune_data.formats.llava import SPEAKERS, Turn, refs_of
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
    """One conversation and its images."""

    images: str | list[str] | None = None


def read(row: Row, notes: Notes) -> Turns:
    """The turns of a row, whichever way it writes them."""
    turns = Turns(notes)
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


def draft_of(row: Row, turns: Turns, images: str | list[str] | None = None) -> Draft:
    """The draft of a row's turns and images."""
    placed = turns.place(refs_of(images, "$.images"), "$")
    return Draft(
        id=None if row.id is None else str(row.id),
        images=placed,
        messages=tuple(turns.messages),
        message_paths=tuple(turns.paths),
        split=row.split,
        metadata=dict(row.model_extra or {}),
    )


def _to_draft(record: ShareGptRecord, value: Mapping[str, Any], notes: Notes) -> Draft:
    return draft_of(record, read(record, notes), record.images)


def _from_example(example: ExportedExample, image_paths: Sequence[str]) -> dict[str, Any]:
    turns = [{"from": SPEAKERS[m.role], "value": marked(m, example.id, "sharegpt")} for m in example.messages]
    return {"id": example.id, "conversations": turns, "images": [*image_paths]}


FORMAT = Format(
    name="sharegpt",
    description="Conversations with a list of images, as LLaMA-Factory and ms-swift take them.",
    kind=Kind.CHAT_WITH_IMAGES,
    kinds=frozenset({Kind.CHAT_WITH_IMAGES, Kind.CHAT}),
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
    evidence="the records have `images` and `conversations`, `query` or `instruction`",
    recognises=lambda value: (
        "images" in value and bool({"conversations", "query", "instruction"} & value.keys())
    ),
    from_example=_from_example,
)
