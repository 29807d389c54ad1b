"""What each format makes of a record."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from visiontune_data.example import IMAGE, Draft, Part
from visiontune_data.formats import FORMATS, Notes
from visiontune_data.report import Place

from tests.support.archives import jsonl, llava, picture, run, tar, texts


def draft(format_: str, record: dict[str, Any]) -> Draft:
    """The draft of a record that has no problem."""
    notes = Notes(Place("m", 1, "$"))
    made = FORMATS[format_].draft(record, notes)
    assert notes.problems == []
    assert made
    return made


def test_marks_become_image_parts_and_their_line_breaks_go() -> None:
    made = draft("llava", llava(["a", "b"], question="<image>\nFirst\n<image>\nSecond"))
    assert made.messages[0].content == (IMAGE, Part("First"), IMAGE, Part("Second"))
    assert [ref.json_path for ref in made.images] == ["$.image[0]", "$.image[1]"]


def test_without_marks_the_images_come_first() -> None:
    made = draft("llava", llava(["a", "b"], question="What?"))
    assert made.messages[0].content == (IMAGE, IMAGE, Part("What?"))


def test_a_mark_in_an_answer_is_text() -> None:
    made = draft("llava", llava("a", "see <image>"))
    assert made.messages[1].content == (Part("see <image>"),)


def test_an_image_may_be_text_a_list_or_absent() -> None:
    assert draft("llava", llava("a")).messages == draft("llava", llava(["a"])).messages
    assert draft("llava", llava()).images == ()


def test_roles_of_llava_are_those_of_chats() -> None:
    turns = [{"from": who, "value": "x"} for who in ("system", "human", "gpt", "user", "assistant")]
    roles = [message.role for message in draft("llava", {"conversations": turns}).messages]
    assert roles == ["system", "user", "assistant", "user", "assistant"]


def test_what_a_record_says_besides_is_kept() -> None:
    made = draft("llava", llava("a", source="coco", n=1, id=5))
    assert (made.id, made.metadata) == ("5", {"source": "coco", "n": 1})


@pytest.mark.parametrize("field", ["text", "caption"])
def test_a_caption_by_either_name(field: str) -> None:
    made = draft("image-caption", {"file_name": "a.jpg", field: "a seven"})
    assert (made.texts, made.text_paths, made.messages) == (("a seven",), (f"$.{field}",), ())


def test_several_captions() -> None:
    made = draft("image-caption", {"file_name": "a.jpg", "captions": ["one", "two"]})
    assert (made.texts, made.text_paths) == (("one", "two"), ("$.captions[0]", "$.captions[1]"))


@pytest.mark.parametrize(
    ("name", "metadata"),
    [
        ("metadata.jsonl", jsonl({"file_name": "a.jpg", "text": "one, two"})),
        ("metadata.csv", b'file_name,text\r\na.jpg,"one, two"\r\n'),
    ],
)
def test_captions_become_rows_of_texts(name: str, metadata: bytes, tmp_path: Path) -> None:
    outcome = run(tar({name: metadata, "a.jpg": picture()}), tmp_path)
    assert texts(outcome.report) == []
    assert outcome.version
    (row,) = pq.read_table(outcome.version.shards[0].examples.path).to_pylist()
    assert list(row) == ["id", "images", "texts", "split", "metadata"]
    assert (row["texts"], row["images"][0]["path"]) == (["one, two"], "a.jpg")
    assert outcome.version.kinds == ("captioned-image",)


@pytest.mark.parametrize("name", ["metadata.jsonl", "anything.jsonl", "data.json"])
def test_a_format_is_told_by_its_records_not_by_the_file_name(name: str, tmp_path: Path) -> None:
    record = llava("a.jpg")
    data = json.dumps([record]).encode() if name.endswith("json") else jsonl(record)
    outcome = run(tar({name: data, "a.jpg": picture()}), tmp_path)
    assert outcome.version
    assert outcome.version.format == "llava"
