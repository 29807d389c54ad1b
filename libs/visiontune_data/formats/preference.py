"""Two answers to a conversation, of which one is preferred: as TRL, LLaMA-Factory and ms-swift write them."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import AliasChoices, Field

from visiontune_data.example import Draft, Kind, text_of
from visiontune_data.exported import CannotExport, ExportedExample
from visiontune_data.formats.format import Format, Notes, RecordModel
from visiontune_data.formats.llava import refs_of, videos_of
from visiontune_data.formats.messages import read
from visiontune_data.formats.qwen2_vl import TYPES, QwenPart, read_part, turns_of
from visiontune_data.formats.turns import Turns

_ASKED_FIELDS = ("prompt", "messages", "conversations", "query", "instruction")


class Said(RecordModel):
    """One turn, of role and content or of from and value."""

    role: str = Field("assistant", validation_alias=AliasChoices("role", "from"))
    content: str | list[QwenPart] = Field(validation_alias=AliasChoices("content", "value"))


class PreferenceRecord(RecordModel):
    """One conversation, the answer that is chosen and the one that is rejected.

    Without any of the fields that ask, `chosen` and `rejected` are whole conversations. With
    `rejected_response` the chosen answer is the last of the messages, or `response`.
    """

    id: str | int | None = None
    system: str | None = None
    prompt: str | list[Said] | None = None
    messages: list[Said] | None = None
    conversations: list[Said] | None = None
    query: str | None = None
    instruction: str | None = None
    input: str | None = None
    response: str | None = None
    chosen: str | Said | list[Said] | None = None
    rejected: str | Said | list[Said] | None = None
    rejected_response: str | None = None
    images: str | list[str] | None = Field(None, validation_alias=AliasChoices("images", "image"))
    videos: str | list[str | list[str]] | None = None
    split: str | None = None


def _to_draft(record: PreferenceRecord, value: Mapping[str, Any], notes: Notes) -> Draft:
    turns = _asked(record, notes)
    rejected = _answered(record, turns, notes)
    listed = refs_of(record.images, "$.images"), videos_of(record.videos, "$.videos")
    return Draft(
        id=None if record.id is None else str(record.id),
        images=turns.place(listed[0], "$", listed[1]),
        messages=tuple(turns.messages),
        message_paths=tuple(turns.paths),
        texts=tuple(rejected.values()),
        text_paths=tuple(rejected),
        split=record.split,
        metadata=dict(record.model_extra or {}),
    )


def _asked(record: PreferenceRecord, notes: Notes) -> Turns:
    """What stands before both answers; with `rejected_response` the chosen answer is among it."""
    field = next((name for name in _ASKED_FIELDS if getattr(record, name) is not None), "chosen")
    said = getattr(record, field)
    if field == "chosen":
        said = said[:-1] if isinstance(said, list) else []
    if isinstance(said, list):
        turns = read(said, notes, read_part, TYPES, videos=True, json_path=f"$.{field}")
    else:
        turns = Turns(notes, videos=True)
        turns.add("user", "\n".join(filter(None, [said, record.input])), f"$.{field}")
    if record.system:
        first = Turns(notes)
        first.add("system", record.system, "$.system")
        turns.messages, turns.paths = first.messages + turns.messages, first.paths + turns.paths
    return turns


def _answered(record: PreferenceRecord, turns: Turns, notes: Notes) -> dict[str, str]:
    """Adds the chosen answer where it is not there yet; the rejected one by its path."""
    if record.rejected_response is not None:
        if record.response is not None:
            turns.add("assistant", record.response, "$.response")
        return {"$.rejected_response": record.rejected_response}
    is_whole = all(getattr(record, name) is None for name in _ASKED_FIELDS)
    chosen, rejected = (_conversation(getattr(record, name)) for name in ("chosen", "rejected"))
    for name, said in (("chosen", chosen), ("rejected", rejected)):
        if not said:
            notes.add("field-missing", "$", f'no field "{name}"', name)
    before = chosen[:-1] if is_whole else []
    if chosen and rejected and (rejected[:-1] != before or chosen[:-1] != before):
        where = "before their last message" if is_whole else "although there is a prompt"
        notes.add("pair-prompts-differ", "$.rejected", f"more than one message differs {where}")
    if chosen:
        turns.add("assistant", _text(chosen[-1], notes), "$.chosen")
    return {"$.rejected": _text(rejected[-1], notes)} if rejected else {}


def _conversation(value: str | Said | list[Said] | None) -> list[Said]:
    if value is None or isinstance(value, list):
        return value or []
    return [Said.model_validate({"content": value}) if isinstance(value, str) else value]


def _text(said: Said, notes: Notes) -> str:
    if isinstance(said.content, str):
        return said.content
    (message,) = read([said], Notes(notes.place), read_part, TYPES).messages
    return text_of(message)


def _from_example(example: ExportedExample, image_paths: Sequence[str]) -> dict[str, Any]:
    *asked, chosen = example.messages
    if chosen.role != "assistant":
        raise CannotExport(example.id, "preference", "its last message is no answer")
    prompt = turns_of(asked, image_paths)
    # TRL takes images from a column, for the parts in their order.
    images = [part.pop("image") for turn in prompt for part in turn["content"] if part["type"] == "image"]
    answers = (("chosen", text_of(chosen)), ("rejected", example.texts[0]))
    return {
        "id": example.id,
        **({"images": images} if images else {}),
        "prompt": prompt,
        **{name: [{"role": "assistant", "content": text}] for name, text in answers},
    }


FORMAT = Format(
    name="preference",
    description="Two answers to a conversation, of which one is preferred.",
    kind=Kind.PREFERENCE,
    kinds=frozenset({Kind.PREFERENCE}),
    file_names=("*.jsonl", "*.json"),
    layout=(
        "train.jsonl          one record a line (or one .json array)\n"
        "images/0001.jpg      named by the records, relative to the file"
    ),
    example_record=(
        '{"id": "1", "images": ["images/0001.jpg"], '
        '"prompt": [{"role": "user", "content": "<image>What digit is this?"}], '
        '"chosen": [{"role": "assistant", "content": "Seven."}], '
        '"rejected": [{"role": "assistant", "content": "One."}]}'
    ),
    record=PreferenceRecord,
    to_draft=_to_draft,
    evidence="the records have `chosen` and `rejected`, or `rejected_response`",
    recognises=lambda value: (
        all(value.get(name) is not None for name in ("chosen", "rejected"))
        or value.get("rejected_response") is not None
    ),
    from_example=_from_example,
)
