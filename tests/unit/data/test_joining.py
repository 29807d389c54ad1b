"""An import that goes on from a version: what joins, is replaced, is shared, and is refused."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from visiontune_data.example import Example
from visiontune_data.ingest import Options, Outcome
from visiontune_data.joining import Base, Mode
from visiontune_data.limits import Limits
from visiontune_data.previews import example_of
from visiontune_data.version import Version

from tests.support import archives
from tests.support.archives import jsonl, llava, numbered, numbered_record, tar, texts
from tests.unit.data.test_warnings import again, saved

OPTIONS = Options(processes=0, shard_bytes=1)  # a shard a row group


def based(files: archives.Files, scratch: Path, **options: Any) -> Version:
    outcome = archives.run(tar(files), scratch, options=OPTIONS, **options)
    assert outcome.version is not None, texts(outcome.report)
    return outcome.version


def onto(base: Version, files: archives.Files, scratch: Path, mode: Mode, **options: Any) -> Outcome:
    extended = Base("v1", base.format, archives.shards_of(base), mode)
    return archives.run(tar(files), scratch, "more.tar", OPTIONS, base=extended, **options)


def append(base: Version, files: archives.Files, scratch: Path, **options: Any) -> Outcome:
    return onto(base, files, scratch, Mode.APPEND, **options)


def replace(base: Version, files: archives.Files, scratch: Path, **options: Any) -> Outcome:
    return onto(base, files, scratch, Mode.REPLACE, **options)


def examples_of(version: Version) -> list[Example]:
    return [
        example_of(text)
        for shard in version.shards
        for text in pq.read_table(shard.preview.path)["example"].to_pylist()
    ]


def part(files: archives.Files, start: int, end: int) -> archives.Files:
    """Some of the records of `numbered`, with their images."""
    records = jsonl(*map(numbered_record, range(start, end)))
    return {"train.jsonl": records} | {
        name: files[name] for name in map(archives.image_name, range(start, end))
    }


def test_what_is_appended_makes_what_one_import_of_all_makes(tmp_path: Path) -> None:
    files = numbered(230)
    whole = based(files, tmp_path, validation_fraction=0.2)
    base = based(part(files, 0, 120), tmp_path, validation_fraction=0.2)
    outcome = append(base, part(files, 120, 230), tmp_path, validation_fraction=0.2)
    made = archives.joined(outcome, base)
    assert made.digest == whole.digest
    assert made.statistics == whole.statistics
    assert made.row_splits == whole.row_splits
    assert outcome.shared == {0: 0, 1: 1}
    assert [shard.row_count for shard in made.shards] == [100, 20, 100, 10]
    assert [each.id for each in examples_of(made)] == [f"r{number}" for number in range(230)]
    assert outcome.report.record_count == 110
    assert outcome.report.example_count == 230


def test_an_id_of_the_base_is_a_problem_that_names_both(tmp_path: Path) -> None:
    files = numbered(4)
    base = based(part(files, 0, 3), tmp_path)
    refused = append(base, part(files, 2, 4), tmp_path)
    assert refused.version is None
    assert texts(refused.report) == [
        (
            'more.tar › train.jsonl:1 › $.id: the id "r2" is that of example 2 of v1. '
            "Give it another id, or import with --mode replace."
        ),
        (
            'more.tar › images/002.jpg: the same bytes as "v1:images/002.jpg". '
            "Keep one, if the copies are not meant."
        ),
    ]
    skipped = append(base, part(files, 2, 4), tmp_path, skip_errors=True)
    assert [each.id for each in examples_of(archives.joined(skipped, base))] == ["r0", "r1", "r2", "r3"]


def test_a_record_without_an_id_that_is_there_already_joins_as_a_copy(tmp_path: Path) -> None:
    chats = {"train.jsonl": jsonl(llava(answer="One."), llava(answer="Two."))}
    base = based(chats, tmp_path, validation_fraction=0)
    made = archives.joined(append(base, chats, tmp_path, validation_fraction=0), base)
    ids = [each.id for each in examples_of(made)]
    assert ids[2:] == [f"{id_}-2" for id_ in ids[:2]]


def test_examples_are_replaced_by_id_and_stay_in_their_split(tmp_path: Path) -> None:
    files = numbered(210)
    base = based(files, tmp_path, validation_fraction=0.3)
    before = {each.id: each for each in examples_of(base)}
    changed = [llava(archives.image_name(n), f"Now {n}.", id=f"r{n}") for n in range(100, 140)]
    new = numbered_record(3) | {"id": "new"}
    images = {archives.image_name(n): files[archives.image_name(n)] for n in [3, *range(100, 140)]}
    outcome = replace(base, {"train.jsonl": jsonl(*changed, new)} | images, tmp_path)
    made = archives.joined(outcome, base)
    after = {each.id: each for each in examples_of(made)}
    assert outcome.shared == {0: 0, 2: 2}, "the shard in between is written anew"
    assert after.keys() == before.keys() | {"new"}
    assert after["r120"].answers == ("Now 120.",)
    assert {id_: after[id_].split for id_ in before} == {id_: each.split for id_, each in before.items()}
    assert {each.split for each in before.values()} == {"train", "validation"}
    assert after["new"].split == before["r3"].split, "they share an image"
    assert made.statistics.example_count == 211
    assert made.statistics.duplicate_example_count == 1


def test_a_split_that_the_new_data_names_is_obeyed(tmp_path: Path) -> None:
    files = numbered(4)
    base = based(part(files, 0, 2), tmp_path)
    records = [numbered_record(2) | {"split": "test"}, numbered_record(3)]
    pictures = {archives.image_name(n): files[archives.image_name(n)] for n in (2, 3)}
    outcome = append(base, {"data.jsonl": jsonl(*records)} | pictures, tmp_path, validation_fraction=0.9)
    assert [each.split for each in examples_of(archives.joined(outcome, base))[2:]] == ["test", "train"]


def without_records(files: archives.Files) -> archives.Files:
    return {name: data for name, data in files.items() if name != "train.jsonl"}


def test_what_is_the_same_stays_where_it_is(tmp_path: Path) -> None:
    files = numbered(120)
    base = based(files, tmp_path)
    outcome = replace(base, files, tmp_path)
    made = archives.joined(outcome, base)
    assert made.digest == base.digest
    assert made.manifest_sha256 == base.manifest_sha256
    assert outcome.shared == {0: 0, 1: 1}
    assert texts(outcome.report) == []


def test_a_record_without_an_id_replaces_those_with_its_images(tmp_path: Path) -> None:
    first = archives.good(3)
    base = based(first, tmp_path, validation_fraction=0)
    again_ = {"data.jsonl": jsonl(llava("img/0001.jpg", "Corrected.")), "img/0001.jpg": first["img/0001.jpg"]}
    made = archives.joined(replace(base, again_, tmp_path), base)
    assert [each.answers[0] for each in examples_of(made)] == ["Answer 0.", "Answer 2.", "Corrected."]
    with_own_id = based(numbered(2), tmp_path)
    records = {
        "train.jsonl": jsonl(llava(archives.image_name(0), "Another.")),
        **without_records(numbered(1)),
    }
    both = archives.joined(replace(with_own_id, records, tmp_path), with_own_id)
    assert len(examples_of(both)) == 3, "an id that somebody gave is not replaced by one that nobody did"


def test_near_duplicates_and_leaks_are_found_across_both(tmp_path: Path) -> None:
    def one(image: bytes, split: str) -> archives.Files:
        return {"data.jsonl": jsonl(llava("a.jpg", "It.", split=split)), "a.jpg": image}

    base = based(one(saved(), "train"), tmp_path)
    near = append(base, one(again(), "validation"), tmp_path)
    assert [line.partition(": ")[2].partition(". ")[0] for line in texts(near.report)] == [
        'looks nearly the same as "v1:a.jpg"',
        'in the splits train and validation is this or nearly this image, as "v1:a.jpg"',
    ]
    leak = append(base, one(saved(), "validation"), tmp_path)
    assert leak.version is None
    assert texts(leak.report, "split-leak")[0].startswith(
        "more.tar › a.jpg: the image is in the splits train and validation."
    )
    unnamed = {"data.jsonl": jsonl(llava("a.jpg", "Again.")), "a.jpg": again()}
    beside = append(base, unnamed, tmp_path, validation_fraction=0.9)
    assert {each.split for each in examples_of(archives.joined(beside, base))} == {"train"}


@pytest.mark.parametrize("mode", Mode)
def test_what_the_base_has_no_place_for_is_refused(mode: Mode, tmp_path: Path) -> None:
    base = based({"train.jsonl": jsonl(llava(answer="Text alone."))}, tmp_path)
    refused = onto(base, archives.good(1), tmp_path, mode)
    assert refused.version is None
    assert texts(refused.report) == [
        "more.tar: the records have images, the examples of v1 none. Import them into a dataset of their own."
    ]
    pictured = based(archives.good(1), tmp_path)
    joint = onto(pictured, {"train.jsonl": jsonl(llava(answer="Text alone."))}, tmp_path, mode)
    assert archives.joined(joint, pictured).kinds == ("chat", "chat-with-images")


def test_the_limit_of_images_is_of_both_together(tmp_path: Path) -> None:
    files = numbered(4)
    base = based(part(files, 0, 3), tmp_path)
    refused = append(base, part(files, 3, 4), tmp_path, limits=Limits(images=3))
    assert texts(refused.report, "limit-images") == [
        (
            "more.tar: with those of v1 there are 4 images; at most 3 are accepted. "
            "Split the data into several datasets, or ask the operator for more."
        )
    ]


def test_when_no_record_is_left_there_is_no_version(tmp_path: Path) -> None:
    base = based(archives.good(1), tmp_path)
    refused = append(base, {"train.jsonl": jsonl({"nothing": 1})}, tmp_path, skip_errors=True, format="llava")
    assert refused.version is None
    assert any(summary.rule == "zero-examples" for summary in refused.report.rules)
