"""Rewriting shares what did not change, and what it makes is what an import of the same content makes."""

import hashlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from visiontune_data import ingest, rewrite
from visiontune_data.edits import Add, Delete, Edit, Edited, SetSplit, SetTags, SetText
from visiontune_data.example import IMAGE, Example, Image, Message, Part
from visiontune_data.export import ExportedExample, export
from visiontune_data.index import VersionIndex, shard_index
from visiontune_data.limits import Limits
from visiontune_data.previews import example_of
from visiontune_data.rewrite import Changes, Rewritten
from visiontune_data.shards import Shard
from visiontune_data.version import Version

from tests.support import archives

OPTIONS = ingest.Options(processes=0, shard_bytes=1)  # a shard a row group
NEW = archives.noise(999)
NEW_SHA256 = hashlib.sha256(NEW).hexdigest()


def new(id_: str, sha256: str = NEW_SHA256, path: str = "added/new.jpg") -> Example:
    messages = (Message("user", (IMAGE, Part("Which?"))), Message("assistant", (Part("The new."),)))
    return Example(id_, (Image(path, sha256, 0, 0, "", 0, 0),), messages, (), "train", "")


@pytest.fixture
def base(tmp_path: Path) -> Version:
    """A version of 210 examples in three shards."""
    (tmp_path / "base").mkdir()
    outcome = archives.run(archives.tar(archives.numbered(210)), tmp_path / "base", options=OPTIONS)
    assert outcome.version is not None
    assert len(outcome.version.shards) == 3
    return outcome.version


def index_of(version: Version) -> VersionIndex:
    previews = (pq.read_table(shard.preview.path)["example"].to_pylist() for shard in version.shards)
    return VersionIndex(tuple(map(shard_index, previews)))


def rewritten(
    base: Version, scratch: Path, *edits: Edit, uploads: Mapping[str, bytes] | None = None, **more: Any
) -> Rewritten:
    index = index_of(base)

    def find(example_id: str) -> Example | None:
        row = index.row_of(example_id)
        return None if row is None else example_of(index.preview(row))

    edited = Edited(find, base.kinds, Limits())
    for edit in edits:
        assert not edited.apply(edit)
    folder = scratch / f"rewrite-{len(list(scratch.glob('rewrite-*')))}"
    folder.mkdir()
    sent = {sha256: (lambda d=data: d) for sha256, data in (uploads or {}).items()}
    changes = Changes(edited.changed, tuple(edited.added.values()), sent)
    options = ingest.Options(processes=0, shard_bytes=1, **more)
    return rewrite.rewrite(archives.shards_of(base), changes, base.format, "draft", folder, options)


def made(found: Rewritten, base: Version) -> Version:
    """The version, with the files of shared shards where they lie."""
    assert found.version is not None, [p.text("draft") for p in found.report.errors]
    shards = [
        base.shards[found.shared[place]] if place in found.shared else shard
        for place, shard in enumerate(found.version.shards)
    ]
    return Version(
        **{
            **{name: getattr(found.version, name) for name in Version.__slots__},
            "shards": tuple(shards),
        }
    )


def examples_of(shards: tuple[Shard, ...]) -> Iterator[ExportedExample]:
    for shard in shards:
        yield from map(ExportedExample.from_row, pq.read_table(shard.examples.path).to_pylist())


def imported_anew(version: Version, scratch: Path) -> Version:
    """What an import of the version's export makes."""
    buffer = io.BytesIO()
    export(examples_of(version.shards), version.format, buffer, archive="tar")
    outcome = archives.run(buffer.getvalue(), scratch, options=OPTIONS)
    assert outcome.version is not None, outcome.report.errors
    return outcome.version


def test_only_shards_with_changes_are_written_and_the_digest_is_an_imports(
    base: Version, tmp_path: Path
) -> None:
    found = rewritten(
        base,
        tmp_path,
        SetText("r3", 1, "It is three."),
        SetSplit("r7", "test"),
        SetTags("r8", ("odd",)),
        Delete("r9"),
        Add(new("n1")),
        Add(new("n2", hashlib.sha256(archives.noise(150)).hexdigest(), "images/150.jpg")),
        uploads={NEW_SHA256: NEW},
    )
    counts = found.report.record_count, found.report.example_count
    assert counts == (212, 211), "those of the base and the new ones were looked at"
    assert found.shared == {1: 1, 2: 2}
    version = made(found, base)
    assert [shard.row_count for shard in version.shards] == [99, 100, 10, 2]
    assert version.statistics.example_count == 211
    index = index_of(version)
    three, new_one = (example_of(index.preview(index.row_of(id_) or 0)) for id_ in ("r3", "n1"))
    assert three.answers == ("It is three.",)
    assert (new_one.images[0].width_px, new_one.images[0].format) == (64, "JPEG")
    assert index.row_of("r9") is None
    rows = {row.id: row for row in examples_of(version.shards)}
    assert rows["n1"].images[0].data == NEW
    assert rows["n2"].images[0].data == archives.noise(150)
    assert rows["r3"].images[0].data == archives.noise(3)
    again = imported_anew(version, tmp_path)
    assert again.digest == version.digest != base.digest
    # The same, but for bins whose edges depend on the order, and splits that an archive lists otherwise.
    assert again.statistics.brightness == version.statistics.brightness
    assert again.statistics.split_counts == version.statistics.split_counts
    assert again.statistics.top_answers == version.statistics.top_answers
    assert len({schema_of(shard) for shard in (*base.shards, *version.shards)}) == 1
    previews = pq.read_table(version.shards[0].preview.path)
    assert previews.column("thumbnail").null_count == 0
    assert previews.num_rows == 99


def schema_of(shard: Shard) -> str:
    return str(pq.read_schema(shard.examples.path).to_string(show_schema_metadata=True))


def test_a_shard_without_rows_is_none(base: Version, tmp_path: Path) -> None:
    found = rewritten(base, tmp_path, *(Delete(f"r{number}") for number in range(100)))
    assert found.shared == {0: 1, 1: 2}
    assert made(found, base).statistics.example_count == 110


def test_what_was_rewritten_can_be_rewritten(base: Version, tmp_path: Path) -> None:
    once = made(rewritten(base, tmp_path, Delete("r0"), SetText("r150", 1, "Changed.")), base)
    twice = made(rewritten(once, tmp_path, SetText("r150", 1, "It is number 150.")), once)
    without = made(rewritten(base, tmp_path, Delete("r0")), base)
    assert twice.digest == without.digest


def test_edits_that_cancel_out_give_the_digest_of_the_base(base: Version, tmp_path: Path) -> None:
    edits = (SetText("r5", 1, "Else."), SetText("r5", 1, "It is number 5."))
    assert made(rewritten(base, tmp_path, *edits), base).digest == base.digest


@pytest.mark.parametrize(
    ("edits", "data", "complaint"),
    [
        (
            (
                Add(new("n", hashlib.sha256(archives.noise(4)).hexdigest(), "images/004.jpg")),
                SetSplit("n", "test"),
            ),
            NEW,
            "draft › images/004.jpg: the image is in the splits test and train. Keep it in one",
        ),
        ((Add(new("n")),), NEW[:-2], "draft › added/new.jpg: the JPEG data ends too early"),
        ((Add(new("n")),), b"", "draft › added/new.jpg: the file has 0 bytes"),
        (tuple(Delete(f"r{number}") for number in range(210)), NEW, "draft: no example is left."),
    ],
)
def test_what_an_import_would_refuse_is_refused(
    base: Version, tmp_path: Path, edits: tuple[Edit, ...], data: bytes, complaint: str
) -> None:
    found = rewritten(base, tmp_path, *edits, uploads={NEW_SHA256: data})
    assert found.version is None
    assert any(complaint in line for line in archives.texts(found.report))


def test_limits_hold_over_all_examples(base: Version, tmp_path: Path) -> None:
    uploads = {NEW_SHA256: NEW}
    found = rewritten(base, tmp_path, Add(new("n")), uploads=uploads, limits=Limits(images=210))
    assert archives.texts(found.report, "limit-images") == [
        (
            "draft: there are 211 images; at most 210 are accepted. "
            "Split the data into several datasets, or ask the operator for more."
        )
    ]
    found = rewritten(
        base, tmp_path, Add(new("n")), uploads=uploads, limits=Limits(image_bytes_per_example=9)
    )
    assert "draft › n: the images have" in archives.texts(found.report, "too-many-images")[0]
