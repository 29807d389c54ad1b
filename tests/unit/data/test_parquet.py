"""Hugging Face's Parquet files: rows of any format with their images in them, good and bad."""

import datetime
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from visiontune_data import export
from visiontune_data.example import Message, Part
from visiontune_data.export import ExportedExample
from visiontune_data.ingest import Outcome
from visiontune_data.limits import Limits

from tests.support.archives import llava, parquet, picture, run, tar, texts


def struct(number: int, path: str | None = None) -> dict[str, Any]:
    return {"bytes": picture(number), "path": path}


def rows(outcome: Outcome) -> list[dict[str, Any]]:
    assert outcome.version, texts(outcome.report)
    found: list[dict[str, Any]] = pq.read_table(outcome.version.shards[0].examples.path).to_pylist()
    return found


def test_columns_of_any_format_are_taken_with_their_images(tmp_path: Path) -> None:
    captions = [{"image": struct(n), "text": f"n {n}", "when": datetime.date(2026, 1, n)} for n in (1, 2)]
    conversations = [llava(["a", "b"]) | {"image": [struct(1, "a.jpg"), struct(2, "a.jpg")], "x": None}]
    for made, wanted in ((captions, "clip"), (conversations, "llava")):
        outcome = run(tar({"data/train-00000-of-00001.parquet": parquet(made)}), tmp_path)
        found = rows(outcome)
        assert outcome.version
        assert (outcome.version.format, texts(outcome.report)) == (wanted, [])
        images = [image["bytes"] for row in found for image in row["images"]]
        assert images == [picture(1), picture(2)]
    assert json.loads(rows(run(tar({"t.parquet": parquet(captions)}), tmp_path))[0]["metadata"]) == {
        "when": "2026-01-01"
    }


def test_an_image_in_many_rows_is_one(tmp_path: Path) -> None:
    made = [{"image": struct(1, "a.jpg"), "text": f"{n}"} for n in range(5)]
    outcome = run(tar({"t.parquet": parquet(made)}), tmp_path)
    assert [row["images"][0]["path"] for row in rows(outcome)] == ["embedded/a.jpg"] * 5
    assert outcome.version
    assert outcome.version.statistics.image_count == 1


def test_rows_that_name_files_take_them_from_the_archive(tmp_path: Path) -> None:
    made = [{"file_name": "a.jpg", "text": "x"}, {"file_name": "a.jpg", "text": "y"}]
    outcome = run(tar({"metadata.parquet": parquet(made), "a.jpg": picture(1)}), tmp_path)
    assert [row["texts"] for row in rows(outcome)] == [["x"], ["y"]]


def test_a_problem_names_the_row(tmp_path: Path) -> None:
    made = [{"image": struct(1), "text": "a"}, {"image": struct(2), "text": " "}]
    found = texts(run(tar({"t.parquet": parquet(made)}), tmp_path, "d.tar").report, "caption-empty")
    assert found[0].startswith("d.tar › t.parquet:2 › $.text: the caption has no text.")


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1 and no more", parquet([{"a": 1}])[:-20]])
def test_a_file_that_is_no_parquet_stops_the_import(data: bytes, tmp_path: Path) -> None:
    found = texts(run(tar({"t.parquet": data}), tmp_path, "d.tar").report)
    assert found[0].startswith("d.tar › t.parquet: the file cannot be read (")
    assert "Write it again" in found[0]


def test_a_file_that_unpacks_to_too_much_is_not_unpacked(tmp_path: Path) -> None:
    data = parquet([{"text": "a" * 1_000_000}] * 20)
    assert len(data) < 200_000
    found = texts(
        run(tar({"t.parquet": data}), tmp_path, "d.tar", limits=Limits(archive_bytes=900_000)).report
    )
    assert "t.parquet: the file unpacks to" in found[0]


def test_text_alone_is_written_without_a_column_of_images() -> None:
    said = (Message("user", (Part("a"),)), Message("assistant", (Part("b"),)))
    out = io.BytesIO()
    export.export([ExportedExample("1", (), said)], "parquet", out, archive="tar")
    at = out.getvalue().index(b"PAR1")
    end = out.getvalue().rindex(b"PAR1") + 4
    table = pq.read_table(io.BytesIO(out.getvalue()[at:end]))
    assert table.column_names == ["id", "messages", "split", "metadata"]
