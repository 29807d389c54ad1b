"""A whole import: what a version is, whichever way the archive was packed."""

import io
import itertools
import json
from pathlib import Path
from typing import Any

import datasets  # type: ignore[import-untyped,unused-ignore]  # has no types
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from visiontune_data import shards
from visiontune_data.decoding import Decoded
from visiontune_data.drafts import Drafts, Paths
from visiontune_data.example import Draft
from visiontune_data.gathering import Assembly
from visiontune_data.ingest import Options
from visiontune_data.limits import Limits
from visiontune_data.report import PLACES_PER_RULE, Place, Report
from visiontune_data.spool import Spool
from visiontune_data.version import Version

from tests.support.archives import PACKERS, good, jsonl, llava, picture, run, tar, texts


def version(files: dict[str, bytes], scratch: Path, kind: str = "tar", **more: Any) -> Version:
    """The version of a flawless archive."""
    outcome = run(PACKERS[kind](files), scratch, f"d.{kind}", **more)
    assert texts(outcome.report) == []
    assert outcome.version
    return outcome.version


def rows(made: Version) -> list[dict[str, Any]]:
    """All rows of a version, as Parquet holds them."""
    return [row for shard in made.shards for row in pq.read_table(shard.examples.path).to_pylist()]


def previews(made: Version) -> list[dict[str, Any]]:
    """All rows of a version's previews."""
    return [row for shard in made.shards for row in pq.read_table(shard.preview.path).to_pylist()]


def test_the_digest_is_of_the_data_not_of_its_packing(tmp_path: Path) -> None:
    first = good()
    last = dict(reversed(first.items()))
    made = [version(files, tmp_path, kind) for files in (first, last) for kind in PACKERS]
    assert len({one.digest for one in made}) == 1
    assert len({one.manifest_sha256 for one in made}) == 1
    assert made[0].digest.startswith("sha256:")


def test_jsonl_and_an_array_make_the_same_version(tmp_path: Path) -> None:
    files = good()
    records = [json.loads(line) for line in files["train.jsonl"].splitlines()]
    images = {name: data for name, data in files.items() if name != "train.jsonl"}
    array = version({"train.json": json.dumps(records, indent=2).encode()} | images, tmp_path)
    assert array.digest == version(files, tmp_path).digest


def test_child_processes_make_the_same_version(tmp_path: Path) -> None:
    files = good(5)
    made = version(files, tmp_path, options=Options(processes=1))
    assert made.digest == version(files, tmp_path).digest
    kept = {shard.examples.path for shard in made.shards} | {shard.preview.path for shard in made.shards}
    assert set(made.shards[0].examples.path.parent.iterdir()) == kept


@pytest.mark.parametrize("change", ["answer", "image", "id", "order"])
def test_the_digest_changes_with_the_data(change: str, tmp_path: Path) -> None:
    files = good()
    lines = files["train.jsonl"].splitlines(keepends=True)
    changed = {
        "answer": {"train.jsonl": files["train.jsonl"].replace(b"Answer 1", b"Answer 9")},
        "image": {"img/0001.jpg": picture(77)},
        "id": {"train.jsonl": files["train.jsonl"].replace(b'{"image"', b'{"id": 7, "image"', 1)},
        "order": {"train.jsonl": b"".join(reversed(lines))},
    }[change]
    assert version(files | changed, tmp_path).digest != version(files, tmp_path).digest


def test_shards_are_what_datasets_reads(tmp_path: Path) -> None:
    made = version(good(4), tmp_path)
    loaded = datasets.load_dataset(
        "parquet",
        data_files=[str(shard.examples.path) for shard in made.shards],
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    text = datasets.Value("string")
    assert loaded.features == datasets.Features(
        {
            "id": text,
            "images": datasets.List(datasets.Image()),
            "messages": datasets.List({"role": text, "content": datasets.List({"type": text, "text": text})}),
            "split": text,
            "metadata": text,
        }
    )
    assert [row["images"][0].size for row in loaded] == [(48, 40)] * 4
    assert loaded[1]["messages"] == [
        {
            "role": "user",
            "content": [{"type": "image", "text": None}, {"type": "text", "text": "What digit is this?"}],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "Answer 1."}]},
    ]


def test_images_are_stored_as_they_came(tmp_path: Path) -> None:
    files = good(3)
    stored = {row["images"][0]["path"]: row["images"][0]["bytes"] for row in rows(version(files, tmp_path))}
    assert stored == {name: data for name, data in files.items() if name != "train.jsonl"}


def test_each_row_has_its_own_pictures_through_many_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "ROW_GROUP_ROWS", 7)  # the memory of a row group is that of the one before
    files = good(40)
    records = [llava(name) for name in files if name != "train.jsonl"]
    texts = [llava(None, f"Answer {number}.") for number in range(20)]
    mixed = [record for pair in itertools.zip_longest(records, texts) for record in pair if record]
    made = version({**files, "train.jsonl": jsonl(*mixed)}, tmp_path)
    assert len(rows(made)) == 60
    for row, preview in zip(rows(made), previews(made), strict=True):
        facts = json.loads(preview["example"])["images"]
        assert [(each["path"], each["bytes"]) for each in row["images"]] == [
            (path, files[path]) for path, *_ in facts
        ]
        if not facts:
            assert (preview["thumbnail"], preview["width_px"], preview["height_px"]) == (None, 0, 0)
            continue
        with (
            Image.open(io.BytesIO(preview["thumbnail"])) as shown,
            Image.open(io.BytesIO(row["images"][0]["bytes"])) as original,
        ):
            assert shown.size == original.size  # they are small
            assert np.abs(np.asarray(shown, int) - np.asarray(original.convert("RGB"), int)).mean() < 8


def test_text_alone_has_no_column_of_images(tmp_path: Path) -> None:
    made = version({"train.jsonl": jsonl(llava(), llava(None, "Eight."))}, tmp_path)
    assert list(rows(made)[0]) == ["id", "messages", "split", "metadata"]
    assert made.kinds == ("chat",)


def test_row_groups_are_bounded_by_rows_and_by_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [llava("a.jpg", f"Answer {n}.") for n in range(250)]
    files = {"train.jsonl": jsonl(*records), "a.jpg": picture()}

    def groups(made: Version) -> list[int]:
        metadata = pq.read_metadata(made.shards[0].examples.path)
        preview = pq.read_metadata(made.shards[0].preview.path)
        counts = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
        assert counts == [preview.row_group(n).num_rows for n in range(preview.num_row_groups)]
        return counts

    assert groups(version(files, tmp_path)) == [100, 100, 50]
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", 10 * len(picture()))
    assert groups(version(files, tmp_path)) == [10] * 25


def test_a_full_shard_is_followed_by_another(tmp_path: Path) -> None:
    records = [llava("a.jpg", f"Answer {n}.") for n in range(250)]
    made = version({"train.jsonl": jsonl(*records), "a.jpg": picture()}, tmp_path, shard_bytes=1)
    assert [(shard.index, shard.row_count) for shard in made.shards] == [(0, 100), (1, 100), (2, 50)]
    assert len({shard.examples.sha256 for shard in made.shards}) == 3


def test_previews_are_aligned_with_examples_and_hold_no_originals(tmp_path: Path) -> None:
    files = good(5)
    made = version(files | {"img/0002.jpg": picture(2, size=(1024, 300))}, tmp_path)
    for row, preview in zip(rows(made), previews(made), strict=True):
        example = json.loads(preview["example"])
        assert (example["id"], example["split"], example["metadata"]) == (
            row["id"],
            row["split"],
            row["metadata"],
        )
        assert example["messages"] == row["messages"]
        with Image.open(io.BytesIO(preview["thumbnail"])) as shown:
            assert shown.format == "JPEG"
            assert shown.size == (preview["width_px"], preview["height_px"])
            assert max(shown.size) <= 256
    assert (previews(made)[2]["width_px"], previews(made)[2]["height_px"]) == (256, 75)


def test_statistics_count_what_is_there(tmp_path: Path) -> None:
    records = [llava("a.jpg", "Seven."), llava(["a.jpg", "b.png"], "Seven."), llava(None, "No.")]
    files = {"train.jsonl": jsonl(*records), "a.jpg": picture(), "b.png": picture(1, "PNG", (64, 48))}
    counted = version(files, tmp_path).statistics
    assert (counted.example_count, counted.image_count) == (3, 2)
    assert counted.image_bytes == len(files["a.jpg"]) + len(files["b.png"])
    assert counted.format_counts == {"JPEG": 1, "PNG": 1}
    assert counted.top_answers == (("Seven.", 2), ("No.", 1))
    assert counted.distinct_answer_count == 2
    assert sum(counted.split_counts.values()) == 3
    images = counted.images_per_example
    assert (images.count, images.min, images.max, images.mean, images.median) == (3, 0, 2, 1, 1)
    assert sum(bar.count for bar in images.histogram) == 3
    assert (counted.width_px.min, counted.width_px.max) == (48, 64)
    assert counted.messages_per_example.mean == 2


def test_statistics_agree_with_the_rows(tmp_path: Path) -> None:
    made = version(good(30), tmp_path)
    splits = [row["split"] for row in rows(made)]
    assert made.statistics.split_counts == {name: splits.count(name) for name in set(splits)}
    assert [("train", "validation", "test")[code] for code in made.row_splits] == splits


# Splits


def split_of(made: Version) -> dict[str, str]:
    """The split of each example by its answer."""
    return {row["messages"][-1]["content"][0]["text"]: row["split"] for row in rows(made)}


def test_splits_are_the_same_each_time_and_do_not_depend_on_the_order(tmp_path: Path) -> None:
    files = good(40)
    backwards = b"".join(reversed(files["train.jsonl"].splitlines(keepends=True)))
    once = split_of(version(files, tmp_path, validation_fraction=0.3))
    assert once == split_of(version(files | {"train.jsonl": backwards}, tmp_path, validation_fraction=0.3))
    assert 4 <= list(once.values()).count("validation") <= 20


def test_neither_split_is_empty_with_two_examples_and_none_is_made_without_a_fraction(tmp_path: Path) -> None:
    assert set(split_of(version(good(2), tmp_path, validation_fraction=0.01)).values()) == {
        "train",
        "validation",
    }
    assert set(split_of(version(good(9), tmp_path, validation_fraction=0)).values()) == {"train"}


def test_examples_of_one_image_share_a_split(tmp_path: Path) -> None:
    images = {f"{n}.jpg": picture(n) for n in range(10)}
    records = [llava(f"{n % 10}.jpg", f"{n}") for n in range(50)]
    copies = {f"copy-{n}.jpg": picture(n) for n in range(10)}
    records += [llava(f"copy-{n}.jpg", f"{50 + n}") for n in range(10)]
    outcome = run(
        tar({"train.jsonl": jsonl(*records), **images, **copies}), tmp_path, validation_fraction=0.4
    )
    assert outcome.version
    splits = split_of(outcome.version)
    assert set(splits.values()) == {"train", "validation"}
    for n in range(60):
        assert splits[str(n)] == splits[str(n % 10)]
    assert outcome.report.by_rule["duplicate-exact"].count == 10


@pytest.mark.parametrize("by", ["file", "field"])
def test_named_splits_are_kept(by: str, tmp_path: Path) -> None:
    parts = {"train": (0, 1, 2), "val": (3,), "test": (4, 5)}
    if by == "file":
        metadata = {
            f"{name}.jsonl": jsonl(*(llava(f"{n}.jpg", f"{n}") for n in numbers))
            for name, numbers in parts.items()
        }
    else:
        records = [llava(f"{n}.jpg", f"{n}", split=name) for name, ns in parts.items() for n in ns]
        metadata = {"all.jsonl": jsonl(*records)}
    made = version(metadata | {f"{n}.jpg": picture(n) for n in range(6)}, tmp_path, validation_fraction=0.5)
    assert [split_of(made)[str(n)] for n in range(6)] == ["train"] * 3 + ["validation"] + ["test"] * 2
    assert made.statistics.split_counts == {"train": 3, "validation": 1, "test": 2}


def test_one_image_in_two_named_splits_is_a_leak(tmp_path: Path) -> None:
    files = {
        "train.jsonl": jsonl(llava("a.jpg")),
        "test.jsonl": jsonl(llava("a.jpg", "x")),
        "a.jpg": picture(),
    }
    outcome = run(tar(files), tmp_path, skip_errors=True)
    assert outcome.version is None
    assert texts(outcome.report) == [
        "digits.tar › a.jpg: the image is in the splits test and train. Keep it in one of them."
    ]


def test_a_named_split_without_examples_is_an_error(tmp_path: Path) -> None:
    outcome = run(tar(good() | {"validation.jsonl": b"\n"}), tmp_path)
    assert outcome.version is None
    assert texts(outcome.report) == [
        'digits.tar: the split "validation" has no examples. Add examples to it, or do not name it.'
    ]


# The report


def test_counts_are_exact_and_places_capped(tmp_path: Path) -> None:
    records = [llava(f"absent-{n}.png") for n in range(57)]
    files = good(3)
    outcome = run(tar(files | {"train.jsonl": files["train.jsonl"] + jsonl(*records)}), tmp_path)
    assert outcome.version is None
    report = outcome.report
    summary = report.by_rule["image-missing"]
    assert (summary.count, report.error_count, report.warning_count) == (57, 57, 0)
    assert (report.record_count, report.skipped_count, report.example_count) == (60, 57, 0)
    assert [problem.place.line for problem in summary.problems] == list(range(4, 4 + PLACES_PER_RULE))


def test_skipping_leaves_the_broken_out_and_counts_it(tmp_path: Path) -> None:
    files = good(5)
    bad = files["train.jsonl"] + b"{\n" + jsonl(llava("nowhere.jpg"), {"conversations": 1})
    outcome = run(
        tar(files | {"train.jsonl": bad, "img/0001.jpg": b""}), tmp_path, format="llava", skip_errors=True
    )
    assert outcome.version
    report = outcome.report
    assert (report.record_count, report.example_count, report.skipped_count) == (8, 4, 4)
    assert {name: summary.count for name, summary in report.by_rule.items()} == {
        "json-syntax": 1,
        "image-missing": 1,
        "field-type": 1,
        "image-empty": 1,
    }
    assert [row["images"][0]["path"] for row in rows(outcome.version)] == [
        f"img/000{n}.jpg" for n in (0, 2, 3, 4)
    ]


def test_the_report_is_the_same_whatever_comes_first(tmp_path: Path) -> None:
    files = good(3) | {"img/0001.jpg": b"", "img/0002.jpg": b"text"}
    once = run(tar(files), tmp_path)
    again = run(tar(dict(reversed(files.items()))), tmp_path)
    assert sorted(texts(once.report)) == sorted(texts(again.report))
    assert len(texts(once.report)) == 2


def test_the_same_answer_nearly_everywhere_is_a_warning(tmp_path: Path) -> None:
    records = [llava(f"{n}.jpg") for n in range(20)]
    files = {"train.jsonl": jsonl(*records)} | {f"{n}.jpg": picture(n) for n in range(20)}
    assert texts(run(tar(files), tmp_path).report) == [
        (
            'digits.tar: 20 of 20 examples have the answer "Seven.". '
            "Check that the answers are the ones you meant."
        )
    ]


def test_copies_of_a_record_get_ids_of_their_own(tmp_path: Path) -> None:
    made = version({"train.jsonl": jsonl(*[llava("a.jpg")] * 3), "a.jpg": picture()}, tmp_path)
    first, *others = [row["id"] for row in rows(made)]
    assert others == [f"{first}-2", f"{first}-3"]


class CountedIds(dict[str, int]):
    """Ids that know how often they were asked for one."""

    lookups = 0

    def __contains__(self, key: object) -> bool:
        self.lookups += 1
        return super().__contains__(key)


def test_the_work_grows_with_the_copies_not_with_their_square(tmp_path: Path) -> None:
    count = 500
    with Spool(tmp_path / "drafts") as spool:
        assembly = Assembly(Drafts(spool), Decoded([]), Limits(), ids=(ids := CountedIds()))
        for line in range(1, count + 1):
            assembly.drafts.add(
                Draft(None, (), texts=("A dot.",)), Paths([], None), None, Place("a.jsonl", line)
            )
        assembly.gather(Report("a.tar"))
    assert len(ids) == count
    assert ids.lookups <= 3 * count
