"""Records made of the files beside each image: WebDataset's tars, and folders with a .txt for each."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from visiontune_data.example import IMAGE, Message, Part
from visiontune_data.export import export
from visiontune_data.exported import ExportedExample, ExportedImage
from visiontune_data.ingest import Outcome

from tests.support.archives import jsonl, picture, run, tar, texts


def rows(outcome: Outcome) -> list[dict[str, Any]]:
    assert outcome.version, texts(outcome.report)
    found: list[dict[str, Any]] = pq.read_table(outcome.version.shards[0].examples.path).to_pylist()
    return found


def test_a_text_beside_each_image_is_its_caption(tmp_path: Path) -> None:
    files = {
        "cat.v2.jpg": picture(1),
        "cat.v2.txt": b"a cat\n",
        "d/dog.png": picture(2, "PNG"),
        "d/dog.txt": b"dog",
    }
    outcome = run(tar({**files, "README.txt": b"hello"}), tmp_path)
    assert [row["texts"] for row in rows(outcome)] == [["a cat"], ["dog"]]
    assert outcome.version
    assert outcome.version.format == "image-caption"


def test_folders_of_splits_are_splits(tmp_path: Path) -> None:
    files = {
        f"{s}/{n}.{e}": picture(n) if e == "jpg" else b"x"
        for s, n in [("train", 1), ("val", 2)]
        for e in ("jpg", "txt")
    }
    assert [row["split"] for row in rows(run(tar(files), tmp_path))] == ["train", "validation"]


def test_webdataset_has_its_key_up_to_the_first_dot_and_more_in_json(tmp_path: Path) -> None:
    about = json.dumps({"width": 5, "id": "k1"}).encode()
    files = {"a/1.jpg": picture(1), "a/1.txt": b"one", "a/1.meta.json": about, "a/2.jpg": picture(2)}
    files |= {"a/2.json": json.dumps({"caption": ["two", "zwei"]}).encode()}
    outcome = run(tar(files), tmp_path)
    first, second = rows(outcome)
    assert (first["id"], first["texts"], json.loads(first["metadata"])) == ("k1", ["one"], {"width": 5})
    assert second["texts"] == ["two", "zwei"]
    assert outcome.version
    assert outcome.version.format == "clip"


def test_a_text_of_the_images_own_name_goes_before_one_of_its_key(tmp_path: Path) -> None:
    files = {
        f"photo.v{n}.{end}": picture(n) if end == "jpg" else b"%d" % n
        for n in (1, 2)
        for end in ("jpg", "txt")
    }
    outcome = run(tar(files), tmp_path, format="clip")
    assert [row["texts"] for row in rows(outcome)] == [["1"], ["2"]]
    assert texts(outcome.report) == []


def test_images_with_only_a_key_in_common_with_their_text_are_named(tmp_path: Path) -> None:
    files = {"a/photo.v1.jpg": picture(1), "a/photo.v2.jpg": picture(2), "a/photo.txt": b"one"}
    outcome = run(tar(files), tmp_path, "d.tar", format="clip")
    assert [row["texts"] for row in rows(outcome)] == [["one"], ["one"]]
    remedy = "Nothing, if that is one sample; otherwise keep dots out of the names."
    assert texts(outcome.report, "webdataset-key") == [
        f'd.tar › a/photo.v{n}.jpg: its key is "a/photo", its field "v{n}.jpg". {remedy}' for n in (1, 2)
    ]


@pytest.mark.parametrize("format_", ["clip", "image-caption"])
def test_either_format_takes_texts_by_name(format_: str, tmp_path: Path) -> None:
    files = {"1.jpg": picture(1), "1.txt": b"one"}
    assert [row["texts"] for row in rows(run(tar(files), tmp_path, format=format_))] == [["one"]]


def test_a_file_of_records_wins(tmp_path: Path) -> None:
    files = {
        "metadata.jsonl": jsonl({"file_name": "1.jpg", "text": "x"}),
        "1.jpg": picture(1),
        "1.txt": b"one",
    }
    assert [row["texts"] for row in rows(run(tar(files), tmp_path))] == [["x"]]


@pytest.mark.parametrize(
    ("beside", "line"),
    [
        ({"1.txt": b"a\xff"}, "d.tar › 1.txt: not UTF-8: byte 0xff at offset 1 of the file."),
        ({"1.txt": b"a\0"}, "d.tar › 1.txt: the text contains U+0000."),
        ({"1.txt": b" "}, "d.tar › 1.txt:1 › $.text: the caption has no text."),
        ({"1.txt": b"a" * 2_000_000}, "d.tar › 1.txt: the text has more than 1,048,576 bytes."),
        ({"1.json": b"{}"}, 'd.tar › 1.json:1 › $: no field "text".'),
        ({"1.json": b"[1]"}, "d.tar › 1.json:1 › $[0]: the record is a number, not an object."),
        ({"1.json": b""}, "d.tar › 1.json:1: the file is not one object."),
        ({"1.json": b'{"text": "a"}\n{"text": "b"}'}, "d.tar › 1.json:1: the file is not one object."),
    ],
)
def test_what_is_wrong_is_said_of_the_file_beside_the_image(
    beside: dict[str, bytes], line: str, tmp_path: Path
) -> None:
    found = texts(run(tar({"1.jpg": picture(1), **beside}), tmp_path, "d.tar").report)
    assert any(each.startswith(line) for each in found), found


def test_images_without_a_text_are_named(tmp_path: Path) -> None:
    outcome = run(tar({"1.jpg": picture(1), "1.txt": b"one", "2.jpg": picture(2)}), tmp_path, "d.tar")
    assert texts(outcome.report, "image-unused") == [
        "d.tar › 2.jpg: no record names this image. Remove it, or add a record."
    ]


def test_a_version_exported_as_webdataset_is_read_by_its_keys(tmp_path: Path) -> None:
    def exported_as(example: ExportedExample, *, kept: tuple[str, ...]) -> ExportedExample:
        out = io.BytesIO()
        export([example, example], "webdataset", out, archive="tar")
        with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as packed:
            names = packed.getnames()
        assert names == [f"train/0000000{number}.{end}" for number in (0, 1) for end in kept]
        outcome = run(out.getvalue(), tmp_path, skip_errors=True, validation_fraction=0)
        return ExportedExample.from_row(rows(outcome)[0])

    images = tuple(
        ExportedImage(data, path, hashlib.sha256(data).hexdigest())
        for data, path in [(picture(1), "a.jpg"), (picture(2, "PNG"), "b.jpg")]
    )
    odd = {"file_name": "x", "filepath": "y", "text_": "z"}
    one = ExportedExample("1", images[:1], texts=("A cat.",), metadata=odd)
    back = exported_as(one, kept=("jpg", "txt", "json"))
    assert (back.texts, back.metadata) == (one.texts, odd)
    lines = ExportedExample("2", images[1:], texts=("A cat.\n",))
    assert exported_as(lines, kept=("png", "json")).texts == lines.texts
    several = ExportedExample("3", images[:1], texts=("A cat.", "Eine Katze."))
    assert exported_as(several, kept=("jpg", "json")).texts == several.texts
    said = (Message("user", (IMAGE, Part("or"), IMAGE)), Message("assistant", (Part("b"),)))
    chat = ExportedExample("4", images, said)
    back = exported_as(chat, kept=("0.jpg", "1.png", "json"))
    assert (back.messages, [i.sha256 for i in back.images]) == (said, [i.sha256 for i in images])


def test_json_files_named_after_splits_are_files_of_records(tmp_path: Path) -> None:
    record = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    files = {f"{split}.json": json.dumps([record]).encode() for split in ("train", "validation")}
    assert [row["split"] for row in rows(run(tar(files), tmp_path))] == ["train", "validation"]
