"""Pairs of answers, whichever way a record writes them."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from visiontune_data.example import Draft, Kind, kind_of, text_of
from visiontune_data.exported import CannotExport, ExportedExample
from visiontune_data.formats import FORMATS, Notes
from visiontune_data.report import Place

from tests.support.archives import jsonl, picture, run, tar, texts

QUESTION = [{"role": "user", "content": "<image>What digit?"}]
SEVEN, ONE = {"role": "assistant", "content": "Seven."}, {"role": "assistant", "content": "One."}
PARTS = [{"type": "image", "image": None}, {"type": "text", "text": "What digit?"}]
TURN = {"from": "human", "value": "<image>What digit?"}
DIFFER = "$.rejected pair-prompts-differ"
ROWS: dict[str, dict[str, Any]] = {
    "TRL": {"prompt": QUESTION, "chosen": [SEVEN], "rejected": [ONE]},
    "TRL's parts": {
        "prompt": [{"role": "user", "content": PARTS}],
        "chosen": [{"role": "assistant", "content": [{"type": "text", "text": "Seven."}]}],
        "rejected": [{"role": "assistant", "content": [{"type": "text", "text": "One."}]}],
    },
    "TRL without a prompt": {"chosen": [*QUESTION, SEVEN], "rejected": [*QUESTION, ONE]},
    "TRL as texts": {"prompt": "<image>What digit?", "chosen": "Seven.", "rejected": "One."},
    "LLaMA-Factory": {
        "conversations": [TURN],
        "chosen": {"from": "gpt", "value": "Seven."},
        "rejected": {"from": "gpt", "value": "One."},
    },
    "LLaMA-Factory's Alpaca": {"instruction": "<image>What digit?", "chosen": "Seven.", "rejected": "One."},
    "ms-swift": {"messages": [*QUESTION, SEVEN], "rejected_response": "One."},
    "ms-swift's query": {
        "query": "<image>What digit?",
        "response": "Seven.",
        "rejected_response": "One.",
    },
}


def drafted(record: dict[str, Any]) -> tuple[Draft | None, list[str]]:
    """The draft and the rules that its record breaks."""
    notes = Notes(Place("m", 1, "$"))
    made = FORMATS["preference"].draft(record, notes)
    return made, [f"{each.place.json_path} {each.rule}" for each in notes.problems]


@pytest.mark.parametrize("record", ROWS.values(), ids=ROWS.keys())
def test_every_way_of_writing_a_pair_is_the_same_example(record: dict[str, Any]) -> None:
    made, found = drafted({"images": ["a.jpg"], **record})
    assert made
    assert found == []
    assert [(m.role, text_of(m)) for m in made.messages] == [("user", "What digit?"), ("assistant", "Seven.")]
    assert made.messages[0].content[0].type == "image"
    assert (made.texts, [ref.json_path for ref in made.images]) == (("One.",), ["$.images[0]"])
    assert kind_of(made.messages, made.images, made.negatives, made.texts) is Kind.PREFERENCE


@pytest.mark.parametrize("record", ROWS.values(), ids=ROWS.keys())
def test_a_pair_is_recognised_and_no_format_that_is_tried_before_knows_it(record: dict[str, Any]) -> None:
    known = [name for name, each in FORMATS.items() if each.recognises({"images": ["a.jpg"], **record})]
    assert "preference" in known
    assert "parquet" not in known
    assert "image-caption" not in known


def test_a_system_message_may_stand_beside() -> None:
    made, _ = drafted({"system": "Be brief.", **ROWS["TRL"], "images": "a.jpg"})
    assert made
    assert [message.role for message in made.messages] == ["system", "user", "assistant"]
    assert len(made.message_paths) == len(made.messages)


@pytest.mark.parametrize(
    ("record", "found"),
    [
        ({"prompt": "Q", "chosen": "A", "rejected": None}, ["$ field-missing"]),
        ({"prompt": "Q", "rejected": "A"}, ["$ field-missing"]),
        (
            {"prompt": "Q", "chosen": [*QUESTION, SEVEN], "rejected": [ONE]},
            [DIFFER],
        ),
        (
            {"chosen": [*QUESTION, SEVEN], "rejected": [SEVEN, ONE], "images": ["a.jpg"]},
            [DIFFER],
        ),
        ({"prompt": 1, "chosen": "A", "rejected": "B"}, ["$.prompt field-type"]),
    ],
)
def test_what_is_no_pair_is_a_problem(record: dict[str, Any], found: list[str]) -> None:
    assert drafted(record)[1] == found


def test_pairs_that_teach_nothing_are_told(tmp_path: Path) -> None:
    records = [
        {"prompt": "Q", "chosen": "A", "rejected": "A"},
        {"prompt": "Q", "chosen": "A", "rejected": " "},
        {"prompt": "Q", "chosen": "A", "rejected": "B"},
    ]
    outcome = run(tar({"d.jsonl": jsonl(*records)}), tmp_path, skip_errors=True)
    assert outcome.version
    assert sorted(outcome.report.by_rule) == ["answer-empty", "pair-equal"]


def test_a_version_of_pairs_keeps_the_rejected_answer_beside_the_messages(tmp_path: Path) -> None:
    record = {"images": ["a.jpg"], **ROWS["TRL"]}
    outcome = run(tar({"d.jsonl": jsonl(record), "a.jpg": picture(1)}), tmp_path)
    assert outcome.version, texts(outcome.report)
    assert (outcome.version.format, outcome.version.kinds) == ("preference", ("preference",))
    (row,) = pq.read_table(outcome.version.shards[0].examples.path).to_pylist()
    assert row["texts"] == ["One."]
    assert [message["role"] for message in row["messages"]] == ["user", "assistant"]


def test_an_example_without_a_chosen_answer_at_its_end_is_not_written() -> None:
    made, _ = drafted({**ROWS["TRL"], "images": "a.jpg"})
    assert made
    example = ExportedExample("1", (), made.messages[:1], texts=made.texts)
    with pytest.raises(CannotExport, match="its last message is no answer"):
        FORMATS["preference"].record_of(example, ["a.jpg"])
