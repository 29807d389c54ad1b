"""Records that cannot be read or used: each problem names file, line, field, rule and remedy."""

import base64
import difflib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from visiontune_data.example import ImageRef
from visiontune_data.formats import FORMATS, Notes
from visiontune_data.limits import Limits
from visiontune_data.matching import ImageIndex
from visiontune_data.report import PLACES_PER_RULE, Place

from tests.support.archives import PACKERS, good, jsonl, llava, picture, run, tar, texts

KINDS = ["tar.gz", "zip"]
IMAGE = {"img/0000.jpg": picture()}
FINE = llava("img/0000.jpg")
SKIP = "or import with --on-error skip."
UTF8 = "Save the file as UTF-8 without a byte order mark."


def found(
    metadata: bytes, tmp_path: Path, kind: str = "tar", name: str = "train.jsonl", **more: Any
) -> list[str]:
    """The lines about an archive with one image and these records, which makes no version."""
    outcome = run(PACKERS[kind]({name: metadata, **IMAGE}), tmp_path, f"d.{kind}", **more)
    assert outcome.version is None
    assert outcome.report.example_count == 0
    follows = ("no record names this image", "no example is left")
    return [line for line in texts(outcome.report) if not any(what in line for what in follows)]


def found_skipping(metadata: bytes, tmp_path: Path, name: str = "train.jsonl") -> list[str]:
    """The lines about records of which one is fine; all but it are left out."""
    outcome = run(tar({name: metadata, **IMAGE}), tmp_path, "d.tar", skip_errors=True)
    assert outcome.version
    assert outcome.report.example_count == 1
    assert outcome.report.skipped_count == outcome.report.record_count - 1
    return texts(outcome.report)


@pytest.mark.parametrize("kind", KINDS)
def test_images_without_records(kind: str, tmp_path: Path) -> None:
    outcome = run(PACKERS[kind](IMAGE | {"README.txt": b""}), tmp_path, f"d.{kind}")
    assert outcome.version is None
    assert texts(outcome.report) == [
        (
            f"d.{kind}: no file named *.parquet, metadata.jsonl, metadata.csv, *.jsonl, *.json, "
            '*.csv, *.tsv; found "README.txt", "img/0000.jpg". Add one beside the images.'
        )
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_two_files_that_could_be_the_one(kind: str, tmp_path: Path) -> None:
    files = {"b.jsonl": jsonl(FINE), "a.jsonl": jsonl(FINE), **IMAGE}
    outcome = run(PACKERS[kind](files), tmp_path, f"d.{kind}")
    assert outcome.version is None
    assert texts(outcome.report) == [
        (
            f'd.{kind}: "a.jsonl" and "b.jsonl" could each be the file of records. '
            "Keep one, or name them train.jsonl and validation.jsonl."
        )
    ]


def test_records_of_no_known_format(tmp_path: Path) -> None:
    assert found(jsonl({"picture": "a", "words": "b"}), tmp_path) == [
        (
            'd.tar › train.jsonl: the first record has the fields "picture", "words"; '
            f"known formats: {', '.join(FORMATS)}. Name the format, and compare a record with its example."
        )
    ]


def test_records_of_several_formats(tmp_path: Path) -> None:
    records = jsonl(FINE, {"file_name": "img/0000.jpg", "text": "a seven"})
    assert found(records, tmp_path, name="metadata.jsonl") == [
        (
            "d.tar › metadata.jsonl: the first 2 records are of several formats: image-caption, llava. "
            "Import each format as a dataset of its own."
        )
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"a":1,}', 'column 8: illegal trailing comma before end of object near "{"a":1,}"'),
        ("{'a':1}", "column 2: expecting property name enclosed in double quotes near \"{'a':1}\""),
        ("{}{}", 'column 3: extra data near "{}{}"'),
        ("// x", 'column 1: expecting value near "// x"'),
        ('{"a": "x', 'column 7: unterminated string starting at near "{"a": "x"'),
    ],
)
def test_broken_json_says_line_and_column(kind: str, line: str, said: str, tmp_path: Path) -> None:
    metadata = jsonl(FINE) * 2 + line.encode() + b"\n" + jsonl(FINE)
    (problem,) = found(metadata, tmp_path, kind)
    if "trailing comma" in said and "trailing comma" not in problem:  # as Python before 3.13 says it
        said = said.replace(
            "illegal trailing comma before end of object",
            "expecting property name enclosed in double quotes",
        )
    assert problem == f"d.{kind} › train.jsonl:3: not valid JSON at {said}. Correct it, {SKIP}"


def test_every_broken_line_is_reported_not_the_first_alone(tmp_path: Path) -> None:
    lines = found_skipping(b"{\n" + jsonl(FINE) + b"\n\n}\n", tmp_path)
    assert [line.partition(": ")[0] for line in lines] == ["d.tar › train.jsonl:1", "d.tar › train.jsonl:5"]


def test_a_broken_array_says_where_it_breaks(tmp_path: Path) -> None:
    text = json.dumps([FINE, FINE], indent=1)
    lines = text.splitlines()
    cut = "\n".join(lines[:-2])
    (problem,) = found(cut.encode(), tmp_path, name="train.json")
    assert problem.startswith(f"d.tar › train.json:{len(lines) - 2}: not valid JSON at column ")
    assert problem.endswith(f". Correct it, {SKIP}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_field(kind: str, tmp_path: Path) -> None:
    assert found(jsonl(FINE, {"image": "img/0000.jpg"}), tmp_path, kind, format="llava") == [
        f'd.{kind} › train.jsonl:2 › $: no field "conversations". Add it, {SKIP}'
    ]


def test_a_missing_field_deep_in_a_record(tmp_path: Path) -> None:
    record = {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt"}]}
    assert found(jsonl(record), tmp_path) == [
        f'd.tar › train.jsonl:1 › $.conversations[1]: no field "value". Add it, {SKIP}'
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("record", "said"),
    [
        (FINE | {"image": 5}, "$.image: expected text or a list, found a number"),
        (FINE | {"image": {"path": "a"}}, "$.image: expected text or a list, found an object"),
        (FINE | {"image": ["a", None]}, "$.image[1]: expected text, found null"),
        (FINE | {"id": 1.5}, "$.id: expected text or a whole number, found a number"),
        ({"conversations": "hi"}, "$.conversations: expected a list, found text"),
        ({"conversations": ["hi"]}, "$.conversations[0]: expected an object, found text"),
        (
            {"conversations": [{"from": "human", "value": True}]},
            "$.conversations[0].value: expected text, found true or false",
        ),
    ],
)
def test_a_wrong_type(kind: str, record: Any, said: str, tmp_path: Path) -> None:
    lines = found(jsonl(FINE, record), tmp_path, kind)
    assert f"d.{kind} › train.jsonl:2 › {said}. Correct it, {SKIP}" in lines


def test_a_field_of_nearly_the_right_name_is_a_warning(tmp_path: Path) -> None:
    record = llava("img/0000.jpg", question="What?") | {"splti": "train"}
    assert found_skipping(jsonl(record), tmp_path)[0] == (
        'd.tar › train.jsonl:1 › $.splti: the field "splti" is not known; did you mean "split"? '
        "Rename it if it was meant; otherwise it is kept as metadata."
    )


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_that_is_not_there(kind: str, tmp_path: Path) -> None:
    assert found(jsonl(FINE, llava("img/0042.png")), tmp_path, kind) == [
        f'd.{kind} › train.jsonl:2 › $.image: no file "img/0042.png" in the archive. Add it, {SKIP}'
    ]


def test_an_image_of_nearly_that_name_is_suggested(tmp_path: Path) -> None:
    assert found(jsonl(llava("imgs/0000.jpg")), tmp_path) == [
        (
            'd.tar › train.jsonl:1 › $.image: no file "imgs/0000.jpg" in the archive; '
            f'did you mean "img/0000.jpg"? Add it, {SKIP}'
        )
    ]


@pytest.mark.parametrize(
    ("written", "images", "meant"),
    [
        ("images/0001.jpg", ["data/img/0000.jpg", "data/img/0001.jpg"], "data/img/0001.jpg"),
        ("old/set/img/0001.jpg", ["img/0000.jpg", "img/0001.jpg"], "img/0001.jpg"),
        ("a/1.jpg", ["x/a/1.jpg", "x/b/1.jpg"], "x/a/1.jpg"),
        ("A/1.JPG", ["x/a/1.jpg", "x/b/1.jpg"], "x/a/1.jpg"),
        ("1.jpg", ["left/1.jpg", "right/1.jpg"], None),
        ("scene7/view.jpg", ["scene8/view.jpg"], None),
        ("scene7/view.jpg", ["x/scene7/view.jpg", "x/scene8/view.jpg"], "x/scene7/view.jpg"),
    ],
)
def test_a_path_from_another_root_names_the_image_that_is_meant(
    written: str, images: list[str], meant: str | None, tmp_path: Path
) -> None:
    files = {"train.jsonl": jsonl(llava(written))} | {path: picture() for path in images}
    [problem] = texts(run(tar(files), tmp_path).report, "image-missing")
    assert re.findall('did you mean "(.+)"', problem) == ([meant] if meant else [])


def test_a_missing_image_is_looked_for_only_while_the_report_shows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[str] = []

    def compare(wanted: str, known: list[str], **_: Any) -> list[str]:
        compared.append(wanted)
        return known

    monkeypatch.setattr(difflib, "get_close_matches", compare)
    index, notes = ImageIndex(["img/a.jpg"], []), Notes(Place("train.jsonl", 1))
    for number in range(PLACES_PER_RULE + 30):
        index.find(ImageRef(f"img/{number}.jpg", "$.image"), "train.jsonl", notes)
        index.find(ImageRef("imgs/a.jpg", "$.image"), "train.jsonl", notes)
    assert len(notes.problems) == 2 * (PLACES_PER_RULE + 30)
    hinted = ["did you mean" in problem.message for problem in notes.problems]
    assert hinted == [False, True] * (PLACES_PER_RULE // 2) + [False] * (len(hinted) - PLACES_PER_RULE)
    assert len(compared) <= PLACES_PER_RULE


def test_an_image_in_a_list_in_an_array_is_named_by_its_path(tmp_path: Path) -> None:
    records = [FINE, llava(["img/0000.jpg", "img/9.png"])]
    assert found(json.dumps(records).encode(), tmp_path, name="train.json") == [
        f'd.tar › train.json:1 › $[1].image[1]: no file "img/9.png" in the archive. Add it, {SKIP}'
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_that_no_record_names_is_a_warning(kind: str, tmp_path: Path) -> None:
    outcome = run(PACKERS[kind](good(1) | {"img/more.jpg": picture(9)}), tmp_path, f"d.{kind}")
    assert outcome.version
    assert texts(outcome.report) == [
        f"d.{kind} › img/more.jpg: no record names this image. Remove it, or add a record."
    ]


@pytest.mark.parametrize("path", ["img/0000.JPG", "IMG/0000.jpg", "img%2F0000.jpg"])
def test_a_name_that_differs_a_little_is_taken_with_a_warning(path: str, tmp_path: Path) -> None:
    assert found_skipping(jsonl(llava(path)), tmp_path) == [
        (
            f'd.tar › train.jsonl:1 › $.image: "{path}" was taken for "img/0000.jpg". '
            "Write the path as it is in the archive."
        )
    ]


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.jpg", "file:///etc/passwd", "C:\\x.jpg"])
def test_an_image_path_out_of_the_archive_is_never_opened(path: str, tmp_path: Path) -> None:
    assert found(jsonl(llava(path)), tmp_path) == [
        (
            f'd.tar › train.jsonl:1 › $.image: the path "{path}" leads out of the archive. '
            "Write a path inside the archive, relative to the metadata file."
        )
    ]


@pytest.mark.parametrize("url", ["https://example.com/a.jpg", "http://127.0.0.1/"])
def test_an_image_by_url_is_never_fetched(url: str, tmp_path: Path) -> None:
    assert found(jsonl(llava(url)), tmp_path) == [
        (
            f'd.tar › train.jsonl:1 › $.image: "{url}" is a URL. '
            "Put the image into the archive and write its path, or ask the operator to allow the host."
        )
    ]


@pytest.mark.parametrize(("marks", "images"), [(2, 1), (1, 2), (1, 0)])
def test_marks_and_images_must_be_as_many(marks: int, images: int, tmp_path: Path) -> None:
    record = llava(["img/0000.jpg"] * images, question="<image>" * marks + "?")
    assert found(jsonl(record), tmp_path) == [
        (
            f"d.tar › train.jsonl:1 › $.conversations: {marks} <image> marks for {images} images. "
            "Write one <image> for each image."
        )
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_no_example_left_says_why(kind: str, tmp_path: Path) -> None:
    records = b"[]\n" + jsonl(llava("a.png"))
    for metadata, why in ((records, "image-missing: 1, json-not-object: 1"), (b"\n", "no records")):
        outcome = run(PACKERS[kind]({"train.jsonl": metadata, **IMAGE}), tmp_path, "d", skip_errors=True)
        assert outcome.version is None
        assert texts(outcome.report, "zero-examples") == [
            f"d: no example is left ({why}). Correct the records that were left out."
        ]


# What JSON itself allows too much of


@pytest.mark.parametrize(
    ("line", "place", "said"),
    [
        (b'{"a": "x\\u0000"}', " › $.a", "the text contains U+0000. Remove it."),
        (
            b'{"a": ["\\ud800"]}',
            " › $.a[0]",
            "the text contains half of a pair, U+D800. Write the whole character.",
        ),
        (b'{"a": 1, "a": 2}', " › $", 'the key "a" is there twice. Keep one of the two.'),
        (b'{"a": NaN}', " › $.a", "the number is nan. Write a finite number, or null."),
        (b'{"a": 1e999}', " › $.a", "the number is inf. Write a finite number, or null."),
        (b'{"a": %d}' % 2**70, " › $.a", "the integer does not fit 64 bits. Write it as text."),
        (b'{"a": %s}' % (b"9" * 5000), " › $.a", "the integer does not fit 64 bits. Write it as text."),
        (b"1", " › $", "the record is a number, not an object. Write one object a record."),
        (b"null", " › $", "the record is null, not an object. Write one object a record."),
        (b'"x"', " › $", "the record is text, not an object. Write one object a record."),
        (b'{"a": "\xff"}', "", f"not UTF-8: byte 0xff at offset {len(jsonl(FINE)) + 7} of the file. {UTF8}"),
        (b"[" * 100_000, " › $", "the record is nested deeper than 64 levels. Flatten it."),
    ],
)
def test_a_line_that_is_not_a_sound_object_is_left_out(
    line: bytes, place: str, said: str, tmp_path: Path
) -> None:
    lines = found_skipping(jsonl(FINE) + line + b"\n", tmp_path)
    assert lines == [f"d.tar › train.jsonl:2{place}: {said}"]


def test_a_record_nested_too_deep_says_where(tmp_path: Path) -> None:
    deep = b'{"a":' * 65 + b"1" + b"}" * 65
    (line,) = found_skipping(jsonl(FINE) + deep, tmp_path)
    assert line.startswith("d.tar › train.jsonl:2 › $.a.a.a")
    assert line.endswith("the record is nested deeper than 64 levels. Flatten it.")


def test_a_record_too_large_is_passed_over_and_lines_keep_their_numbers(tmp_path: Path) -> None:
    large = jsonl(FINE | {"note": "x" * 2 * 1024**2})
    lines = found_skipping(large + jsonl(FINE) + b"{\n", tmp_path)
    assert lines[1] == (
        f"d.tar › train.jsonl:1 › $: the record has {len(large):,} bytes; at most 1,048,576 are read. "
        "Shorten it; images belong into files of their own."
    )
    assert lines[0].startswith("d.tar › train.jsonl:3: not valid JSON")


def test_utf16_is_named_and_not_read(tmp_path: Path) -> None:
    text = jsonl(FINE).decode()
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        assert found(text.encode(encoding), tmp_path) == [f"d.tar › train.jsonl: the file is UTF-16. {UTF8}"]


def test_a_byte_order_mark_is_a_warning(tmp_path: Path) -> None:
    assert found_skipping(b"\xef\xbb\xbf" + jsonl(FINE), tmp_path) == [
        f"d.tar › train.jsonl:1: the file begins with a byte order mark, which was ignored. {UTF8}"
    ]


def test_blank_lines_and_line_separators_are_no_problem(tmp_path: Path) -> None:
    odd = llava("img/0000.jpg", "one\u2028two\u0085three")
    assert found_skipping(b"\r\n" + jsonl(odd).strip() + b"\r\n\r\n", tmp_path) == []


def test_more_records_than_the_limit(tmp_path: Path) -> None:
    assert found(jsonl(FINE, FINE, FINE), tmp_path, limits=Limits(records=2)) == [
        "d.tar: the archive has more than 2 records. Split the data into several datasets."
    ]


def test_two_records_of_one_id_name_both_lines(tmp_path: Path) -> None:
    lines = found_skipping(jsonl(FINE | {"id": 5}, FINE | {"id": "5"}), tmp_path)
    assert lines == [
        (
            'd.tar › train.jsonl:2 › $.id: the id "5" is that of line 1 already. '
            "Give each record its own id, or none."
        )
    ]


# CSV


def csv_found(text: bytes, tmp_path: Path) -> list[str]:
    """The lines about a metadata.csv of which one row is fine."""
    return found_skipping(b"file_name,text\nimg/0000.jpg,a seven\n" + text, tmp_path, "metadata.csv")


def test_a_csv_row_with_a_field_too_few(tmp_path: Path) -> None:
    assert csv_found(b"only\n", tmp_path) == [
        (
            "d.tar › metadata.csv:3: the row has 1 fields, the header 2. "
            "Quote fields that contain commas, quotes or line breaks."
        )
    ]


def test_an_open_quote_names_the_line_where_it_began(tmp_path: Path) -> None:
    assert csv_found(b'b.jpg,"open\nand on\n', tmp_path) == [
        (
            "d.tar › metadata.csv:3: the row that begins here cannot be read (unexpected end of data). "
            "Quote fields that contain commas, quotes or line breaks."
        )
    ]


def test_a_csv_field_too_long(tmp_path: Path) -> None:
    assert csv_found(b"b.jpg," + b"x" * 200_000, tmp_path) == [
        (
            "d.tar › metadata.csv:3: the row that begins here cannot be read "
            "(field larger than field limit (131072)). "
            "Quote fields that contain commas, quotes or line breaks."
        )
    ]


def test_a_csv_without_the_column(tmp_path: Path) -> None:
    rows = b"file_name,label\nimg/0000.jpg,x\n"
    assert found(rows, tmp_path, name="metadata.csv", format="image-caption") == [
        f'd.tar › metadata.csv:2 › $: no field "text". Add it, {SKIP}'
    ]


# Conversations and captions


def turns(*pairs: tuple[str, str]) -> dict[str, Any]:
    """A record of text alone."""
    return {"conversations": [{"from": speaker, "value": value} for speaker, value in pairs]}


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (turns(), "$: the conversation has no messages. Add them, " + SKIP),
        (
            turns(("human", "a"), ("bot", "b"), ("gpt", "c")),
            (
                '$.conversations[1].from: the role "bot" is none of human, user, gpt, assistant, model, '
                "chatgpt, bing, system, developer. Use human, gpt or system."
            ),
        ),
        (
            turns(("human", "a"), ("gpt", "b"), ("gpt", "c")),
            (
                "$.conversations[2].value: messages 1 and 2 are both answers. "
                "Begin with the user (after a system message, if any) and let the roles alternate."
            ),
        ),
        (
            turns(("human", "a"), ("system", "b"), ("gpt", "c")),
            (
                "$.conversations[1].value: message 1 is the system's; only the first may be. "
                "Begin with the user (after a system message, if any) and let the roles alternate."
            ),
        ),
        (
            turns(("human", "a")),
            "$: no message is an answer. Add the answer: without one there is nothing to learn.",
        ),
        (
            turns(("human", "a"), ("gpt", " \u200b")),
            (
                "$.conversations[1].value: the answer has no text. "
                "Write the answer: without one there is nothing to learn."
            ),
        ),
        (
            turns(*[("human", "a"), ("gpt", "b")] * 51),
            (
                "$.conversations[100].value: 102 messages; at most 100 are accepted. "
                "Split it into several records."
            ),
        ),
        (
            FINE | {"split": "tset"},
            (
                '$.split: the split "tset" is none of '
                "train, training, validation, valid, val, dev, test. "
                "Use train, validation or test."
            ),
        ),
        (
            llava(["img/0000.jpg"] * 65),
            "$.image[0]: 65 images; at most 64 are accepted in one record. Split it into several records.",
        ),
    ],
)
def test_a_conversation_that_teaches_nothing_or_no_chat_has(
    record: dict[str, Any], said: str, tmp_path: Path
) -> None:
    assert f"d.tar › train.jsonl:2 › {said}" in found_skipping(jsonl(FINE, record), tmp_path)


@pytest.mark.parametrize(
    ("answer", "rule", "said"),
    [
        (
            "x<|im_start|>y",
            "special-token",
            'the text contains "<|im_start|>", which acts as a control token',
        ),
        ("x <image>", "special-token", 'the text contains "<image>", which acts as a control token'),
        ("x\u0007", "text-control", "the text contains U+0007"),
        ("x\u202ey", "text-control", "the text contains U+202E"),
        ("caf\u00c3\u00a9", "text-mojibake", 'the text contains "\u00c3\u00a9"'),
        ("x\ufffd", "text-mojibake", 'the text contains "\ufffd"'),
        ("x" * 40_000, "text-too-long", "40,000 characters; common models read at most 32,768"),
    ],
)
def test_a_text_that_looks_wrong_is_a_warning(answer: str, rule: str, said: str, tmp_path: Path) -> None:
    outcome = run(tar({"train.jsonl": jsonl(llava("img/0000.jpg", answer)), **IMAGE}), tmp_path)
    assert outcome.version
    (line,) = texts(outcome.report, rule)
    assert line.startswith(f"digits.tar › train.jsonl:1 › $.conversations[1].value: {said}. ")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"text": ""}, "$.text: the caption has no text"),
        ({"caption": " "}, "$.caption: the caption has no text"),
        ({"texts": ["a", ""]}, "$.texts[1]: the caption has no text"),
        ({"captions": []}, "$.captions: the caption has no text"),
    ],
)
def test_a_caption_without_text(fields: dict[str, Any], said: str, tmp_path: Path) -> None:
    record = {"file_name": "img/0000.jpg"}
    lines = found_skipping(jsonl(record | {"text": "fine"}, record | fields), tmp_path, "metadata.jsonl")
    assert lines == [
        f"d.tar › metadata.jsonl:2 › {said}. Write the caption: without one there is nothing to learn."
    ]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("data:image/png;base64,YWJj$", "the data: URL is not valid base64 ("),
        ("data:image/png;base64,YQ==YQ==", "the data: URL is not valid base64 ("),
        ("data:text/html;base64,YWJj", 'the data: URL is of the type "text/html". '),
        ("data:image/png,YWJj", "the data: URL is not in base64. "),
        ("data:image/png;base64", "the data: URL has no comma before its data. "),
    ],
)
def test_an_image_inside_a_record_that_is_none(url: str, said: str, tmp_path: Path) -> None:
    lines = found_skipping(jsonl(FINE, llava(url)), tmp_path)
    assert [line for line in lines if line.startswith(f"d.tar › train.jsonl:2 › $.image: {said}")]


def test_an_image_inside_a_record_that_is_broken_is_the_record_s(tmp_path: Path) -> None:
    url = f"data:image/jpeg;base64,{base64.b64encode(picture()[:500]).decode()}"
    lines = found_skipping(jsonl(FINE, llava(url)), tmp_path)
    assert "d.tar › train.jsonl:2 › $.image: the JPEG data ends too early" in lines[0]


def test_a_record_is_larger_when_it_holds_its_images(tmp_path: Path) -> None:
    big = picture(3, "BMP", (900, 500))
    record = llava(f"data:image/bmp;base64,{base64.b64encode(big).decode()}")
    outcome = run(tar({"train.jsonl": jsonl(record, record)}), tmp_path)
    assert outcome.version, texts(outcome.report)
    assert outcome.version.statistics.image_bytes == len(big) > Limits().record_bytes
    small = Limits(image_bytes_per_example=1_000)
    found = texts(run(tar({"train.jsonl": jsonl(record)}), tmp_path, limits=small).report, "record-too-large")
    assert "bytes; at most 1,048,576 are read" in found[0]


def test_an_array_that_is_not_utf8_is_a_problem_from_its_first_bytes(tmp_path: Path) -> None:
    array = b"[" + jsonl(llava("img/0000.jpg", "Caf\u00e9.")).strip().decode().encode("latin-1") + b"]"
    files = good(1) | {"train.json": array}
    del files["train.jsonl"]
    outcome = run(tar(files), tmp_path)
    assert outcome.version is None
    (line,) = texts(outcome.report, "json-encoding")
    assert line.startswith("digits.tar › train.json:1: not UTF-8 (")
