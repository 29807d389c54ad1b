"""What each format makes of a record."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from visiontune_data.example import IMAGE, Draft, ImageRef, Message, Part
from visiontune_data.exported import CannotExport, ExportedExample, ExportedImage
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


def problems(format_: str, record: dict[str, Any]) -> list[str]:
    """What is noted against a record, as path, rule and message."""
    notes = Notes(Place("m", 1, "$"))
    FORMATS[format_].draft(record, notes)
    return [f"{p.place.json_path} {p.rule}: {p.message}" for p in notes.problems]


def qwen(*content: Any, **more: Any) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": [*content]}, {"role": "assistant", "content": "A"}],
        **more,
    }


def test_parts_that_name_no_image_take_the_next_of_the_list() -> None:
    parts = [
        {"type": "image"},
        {"type": "image", "image": "b"},
        {"type": "text", "text": "x"},
        {"type": "image"},
    ]
    made = draft("qwen2-vl", qwen(*parts, images=["a", "c"]))
    assert [ref.path for ref in made.images if isinstance(ref, ImageRef)] == ["a", "b", "c"]
    assert made.messages[0].content == (IMAGE, IMAGE, Part("x"), IMAGE)
    assert made.images[1].json_path == "$.messages[0].content[1].image"


def test_neighbouring_texts_are_one_and_empty_ones_none() -> None:
    parts = [{"type": "text", "text": text} for text in ("a", "", "b")]
    assert draft("qwen2-vl", qwen(*parts)).messages[0].content == (Part("ab"),)


def test_a_part_of_another_type_is_named_at_its_place() -> None:
    assert problems("qwen2-vl", qwen({"type": "audio", "audio": "a.wav"})) == [
        '$.messages[0].content[0].type content-type-unknown: the type "audio" is none of text, image, video'
    ]
    assert problems("chat", qwen({"type": "text"})) == [
        '$.messages[0].content[0] field-missing: no field "text"'
    ]


def test_more_images_than_places_are_counted() -> None:
    assert problems("qwen2-vl", qwen({"type": "image", "image": "a"}, images=["b"])) == [
        "$.messages placeholder-count: 0 <image> marks for 1 images"
    ]


def test_rows_of_questions_have_what_was_said_before_first() -> None:
    row = {"system": "s", "history": [["a", "b"]], "query": "<image>c", "response": "d", "images": "i.jpg"}
    made = draft("sharegpt", row)
    assert [m.role for m in made.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert made.message_paths[1:4] == ("$.history[0][0]", "$.history[0][1]", "$.query")


def test_an_instruction_and_its_input_are_one_question() -> None:
    made = draft("chat", {"instruction": "Add.", "input": "1, 2", "output": "3"})
    assert made.messages[0].content == (Part("Add.\n1, 2"),)


@pytest.mark.parametrize(
    ("record", "missing"),
    [
        ({}, '"conversations", "query" or "instruction"'),
        ({"query": "a"}, '"response"'),
        ({"instruction": "a"}, '"output"'),
    ],
)
def test_a_row_without_question_or_answer_lacks_a_field(record: dict[str, Any], missing: str) -> None:
    assert problems("chat", record) == [f"$ field-missing: no field {missing}"]


def test_text_that_a_mark_would_change_is_not_written() -> None:
    made = draft("qwen2-vl", qwen({"type": "text", "text": "literally <image>"}))
    for name in ("llava", "sharegpt", "chat"):
        with pytest.raises(CannotExport, match="the text holds <image>"):
            FORMATS[name].record_of(ExportedExample("1", (), made.messages), [])


def test_an_image_in_an_answer_has_no_mark() -> None:
    image = ExportedImage(b"", "a.jpg", "")
    said = (Message("user", (Part("?"),)), Message("assistant", (IMAGE,)))
    with pytest.raises(CannotExport, match="the assistant's message holds an image"):
        FORMATS["llava"].record_of(ExportedExample("1", (image,), said), ["a.jpg"])


def test_a_query_has_images_to_find_and_others_not_to(tmp_path: Path) -> None:
    record = {"query": "What?", "image": ["a.jpg", "b.jpg"], "negatives": ["c.jpg"]}
    pictures = {f"{name}.jpg": picture(n) for n, name in enumerate("abc")}
    outcome = run(tar({"d.jsonl": jsonl(record, {"query": "Who?", "image": "b.jpg"}), **pictures}), tmp_path)
    assert outcome.version, texts(outcome.report)
    assert (outcome.version.format, outcome.version.kinds) == ("retrieval", ("retrieval",))
    assert outcome.version.statistics.image_count == 3
    table = pq.read_table(outcome.version.shards[0].examples.path)
    assert table.column_names == ["id", "images", "texts", "negatives", "split", "metadata"]
    first, second = table.to_pylist()
    assert [len(first["images"]), len(first["negatives"]), first["texts"]] == [2, 1, ["What?"]]
    assert second["negatives"] == []


def test_a_query_without_an_image_is_a_problem() -> None:
    assert problems("retrieval", {"query": "?", "image": []}) == [
        "$.image field-missing: the query has no image to find"
    ]
