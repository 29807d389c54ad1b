"""Conversations of text alone: messages, ShareGPT's turns, or a question and its answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from visiontune_data.example import Draft, Kind
from visiontune_data.exported import ExportedExample
from visiontune_data.formats import sharegpt
from visiontune_data.formats.format import Format, Notes
from visiontune_data.formats.messages import ChatMessage, part_types, read
from visiontune_data.formats.turns import marked

_MEDIA = frozenset({"image", "images", "video", "videos", "file_name", "pos_target", "positive"})
_BEGINNINGS = frozenset({"conversations", "query", "instruction"})


class ChatRecord(sharegpt.Row):
    """One conversation."""

    messages: list[ChatMessage] | None = None


def _to_draft(record: ChatRecord, value: Mapping[str, Any], notes: Notes) -> Draft:
    if record.messages is None:
        return sharegpt.draft_of(record, sharegpt.read(record, notes))
    return sharegpt.draft_of(record, read(record.messages, notes, lambda *_: None, "text"))


def _from_example(example: ExportedExample, image_paths: Sequence[str]) -> dict[str, Any]:
    turns = [{"role": m.role, "content": marked(m, example.id, "chat")} for m in example.messages]
    return {"id": example.id, "messages": turns}


def _recognises(value: Mapping[str, Any]) -> bool:
    if _MEDIA & value.keys():
        return False
    return bool(_BEGINNINGS & value.keys()) or ("messages" in value and part_types(value) <= {"text"})


FORMAT = Format(
    name="chat",
    description="Conversations of text alone: messages, ShareGPT's turns, or Alpaca's instructions.",
    kind=Kind.CHAT,
    kinds=frozenset({Kind.CHAT}),
    file_names=("*.jsonl", "*.json"),
    layout="train.jsonl          one record a line (or one .json array)",
    example_record=(
        '{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}, '
        '{"role": "assistant", "content": "Hello."}]}'
    ),
    record=ChatRecord,
    to_draft=_to_draft,
    evidence="the records have turns of text and no images",
    recognises=_recognises,
    from_example=_from_example,
)
