"""What comes in comes out again: import, export, import gives the same version, for every format."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from visiontune_data import export
from visiontune_data.example import Message, Part
from visiontune_data.export import CannotExport, ExportedExample, ExportedImage
from visiontune_data.formats import FORMATS, Format
from visiontune_data.version import Version

from tests.support.archives import run, texts
from tests.support.datasets import DATASETS

pytestmark = pytest.mark.parametrize("format_", FORMATS.values(), ids=FORMATS.keys())


def examples_of(version: Version) -> Iterator[ExportedExample]:
    """The examples in a version's shards."""
    for shard in version.shards:
        yield from map(ExportedExample.from_row, pq.read_table(shard.examples.path).to_pylist())


def exported(version: Version, format_: Format, archive: Any = "tar") -> bytes:
    """The version as an archive."""
    out = io.BytesIO()
    summary = export.export(examples_of(version), format_.name, out, archive=archive)
    assert summary.size_bytes == len(out.getvalue())
    assert summary.split_counts == version.statistics.split_counts
    return out.getvalue()


def imported(data: bytes, scratch: Path, name: str = "d.tar", **options: Any) -> Version:
    """The version of an archive without errors."""
    outcome = run(data, scratch, name, **options)
    assert outcome.version, texts(outcome.report)
    return outcome.version


@pytest.mark.parametrize("archive", ["tar", "tar.gz", "zip"])
def test_an_export_imports_as_the_same_version(format_: Format, archive: str, tmp_path: Path) -> None:
    version = imported(DATASETS[format_.name], tmp_path)
    assert len(version.statistics.split_counts) == 2
    packed = exported(version, format_, archive)
    again = imported(packed, tmp_path, f"d.{archive}", format=format_.name)
    assert again.digest == version.digest
    assert exported(version, format_, archive) == packed


def test_it_is_detected_as_itself(format_: Format, tmp_path: Path) -> None:
    version = imported(DATASETS[format_.name], tmp_path)
    assert imported(exported(version, format_), tmp_path).format == format_.name


def test_any_format_of_the_same_kind_holds_it_all(format_: Format, tmp_path: Path) -> None:
    version = imported(DATASETS[format_.name], tmp_path)
    for other in FORMATS.values():
        if other.kinds.issuperset(version.kinds):
            again = imported(exported(version, other), tmp_path, format=other.name)
            assert again.digest == version.digest, other.name


def test_images_of_one_path_and_paths_that_are_none_are_told_apart(format_: Format, tmp_path: Path) -> None:
    version = imported(DATASETS[format_.name], tmp_path)
    one, *others = [e for e in examples_of(version) if e.split == "train"]
    paths = iter(["a.jpg", "a.jpg", "a.jpg", "../a.jpg", "https://h/a.jpg", "", "a", *[""] * 1_000])

    def moved(images: tuple[ExportedImage, ...]) -> tuple[ExportedImage, ...]:
        return tuple(ExportedImage(image.data, next(paths), image.sha256) for image in images)

    changed = [
        replace(e, images=moved(e.images), negatives=None if e.negatives is None else moved(e.negatives))
        for e in (one, *others)
    ]
    as_they_were, moved_about = (
        imported(_pack(some, format_), tmp_path, format=format_.name, validation_fraction=0)
        for some in ([one, *others], changed)
    )
    assert as_they_were.digest == moved_about.digest


def test_other_kinds_are_refused(format_: Format) -> None:
    said = (Message("user", (Part("a"),)), Message("assistant", (Part("b"),)))
    examples = [
        ExportedExample("1", (), said),
        ExportedExample("1", ()),
        ExportedExample("1", (), negatives=()),
    ]
    for example in examples:
        if example.kind not in format_.kinds:
            with pytest.raises(
                CannotExport, match=f'the example "1" cannot be written as {format_.name}: it is of'
            ):
                _pack([example], format_)


def test_metadata_of_a_name_that_the_format_uses_is_renamed(format_: Format, tmp_path: Path) -> None:
    version = imported(DATASETS[format_.name], tmp_path)
    example = next(examples_of(version))
    field = min(format_.fields)
    crowded = replace(example, split="train", metadata={field: 1, f"{field}_": 2})
    again = imported(_pack([crowded], format_), tmp_path, format=format_.name)
    (kept,) = examples_of(again)
    renamed = field if "metadata" in format_.fields else f"{field}__"
    assert kept.metadata == {renamed: 1, f"{field}_": 2}


def _pack(examples: list[ExportedExample], format_: Format) -> bytes:
    out = io.BytesIO()
    export.export(examples, format_.name, out, archive="tar")
    return out.getvalue()
