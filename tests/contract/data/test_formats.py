"""What holds for every format of the table, from its first day."""

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from visiontune_data.example import Kind, VideoRef
from visiontune_data.formats import AUTO, DETECTION_ORDER, FORMATS, Format, Notes
from visiontune_data.report import Place

from tests.support.archives import PACKERS, parquet, picture, run, texts

pytestmark = pytest.mark.parametrize("format_", FORMATS.values(), ids=FORMATS.keys())

WRONG: list[Any] = [1.5, True, {"a": 1}, [[]]]  # types that no field takes


def example(format_: Format) -> dict[str, Any]:
    """The format's own example record."""
    record: dict[str, Any] = json.loads(format_.example_record)
    return record


def archive(format_: Format, **more: Any) -> dict[str, bytes]:
    """The dataset that the format's own example record describes; `more` are fields of it."""
    draft = format_.draft(example(format_), Notes(Place("m", 1, "$")))
    assert draft
    name = format_.file_names[0].replace("*", "train")
    refs = (*draft.images, *(draft.negatives or ()))
    named = [path for ref in refs for path in (ref.paths if isinstance(ref, VideoRef) else (ref.path,))]
    images = {path: picture(n) for n, path in enumerate(named) if not path.startswith("data:")}
    record = example(format_) | more
    if name.endswith(".parquet"):
        structs = [{"bytes": data, "path": path} for path, data in images.items()]
        return {name: parquet([record | {"images": structs}])}
    return {name: json.dumps(record).encode() + b"\n", **images}


def test_it_is_described(format_: Format) -> None:
    assert FORMATS[format_.name] is format_
    assert format_ in DETECTION_ORDER
    assert format_.name != AUTO
    assert format_.description.endswith(".")
    assert isinstance(format_.kind, Kind)
    first = format_.layout.split()[0]
    assert any(fnmatchcase(first, pattern) for pattern in format_.file_names)


def test_its_example_is_a_record_of_it_first(format_: Format) -> None:
    notes = Notes(Place("m", 1, "$"))
    assert format_.draft(example(format_), notes)
    assert notes.problems == []
    assert next(other for other in DETECTION_ORDER if other.recognises(example(format_))) is format_


@pytest.mark.parametrize("wanted", ["", AUTO])
@pytest.mark.parametrize("kind", PACKERS)
def test_its_example_imports_by_name_and_by_detection(
    format_: Format, kind: str, wanted: str, tmp_path: Path
) -> None:
    packed = PACKERS[kind](archive(format_))
    outcome = run(packed, tmp_path, f"d.{kind}", format=wanted or format_.name)
    assert texts(outcome.report) == []
    assert outcome.version
    assert (outcome.version.format, outcome.version.kinds) == (format_.name, (format_.kind,))
    assert outcome.report.example_count == 1


def test_metadata_first_or_last_is_the_same_version(format_: Format, tmp_path: Path) -> None:
    files = archive(format_)
    both = [
        run(PACKERS["tar"](dict(items)), tmp_path).version
        for items in (files.items(), reversed(files.items()))
    ]
    assert both[0]
    assert both[1]
    assert both[0].digest == both[1].digest


def test_each_field_missing_or_of_a_wrong_type_is_a_problem_not_an_exception(format_: Format) -> None:
    for field in example(format_):
        for broken in (
            {k: v for k, v in example(format_).items() if k != field},
            *(example(format_) | {field: wrong} for wrong in WRONG),
        ):
            notes = Notes(Place("m", 7, "$[3]"))
            if format_.draft(broken, notes) is None:
                assert notes.problems
            for problem in notes.problems:
                assert problem.place.line == 7
                assert problem.place.json_path.startswith("$[3]")


def test_unknown_fields_are_kept_as_metadata(format_: Format, tmp_path: Path) -> None:
    outcome = run(PACKERS["zip"](archive(format_, zz_source={"page": 3})), tmp_path, "d.zip")
    assert outcome.version
    (row,) = pq.read_table(outcome.version.shards[0].examples.path).to_pylist()
    assert json.loads(row["metadata"]) == {"zz_source": {"page": 3}}
