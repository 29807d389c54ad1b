"""Several files as one import: archives, and files of records beside them or alone."""

from pathlib import Path
from typing import Any

import pytest
from visiontune_data.ingest import Outcome, ingest
from visiontune_data.inputs import Input
from visiontune_data.local import LocalSource

from tests.support.archives import HERE, gz, jsonl, llava, parquet, picture, tar, texts, zip_

RECORDS = jsonl(llava("img/a.jpg", "A."), llava("img/b.jpg", "B."))
A, B = {"img/a.jpg": picture(1)}, {"img/b.jpg": picture(2)}


def run(scratch: Path, **files: bytes) -> Outcome:
    """Imports files by name; `__` stands for the dot."""
    folder = scratch / f"import-{len(list(scratch.glob('import-*')))}"
    folder.mkdir()
    first, *more = [Input(LocalSource.of(data), name.replace("__", ".")) for name, data in files.items()]
    return ingest(first.source, first.name, folder, HERE, more=more)


def digest(outcome: Outcome) -> str:
    assert outcome.version, texts(outcome.report)
    return outcome.version.digest


def test_however_the_files_are_divided_it_is_the_same_version(tmp_path: Path) -> None:
    whole = digest(run(tmp_path, all__tar=tar({"train.jsonl": RECORDS, **A, **B})))
    assert digest(run(tmp_path, a__tar=tar({"train.jsonl": RECORDS, **A}), b__zip=zip_(B))) == whole
    assert digest(run(tmp_path, train__jsonl=RECORDS, a__tar=tar(A), b__tar=tar(B))) == whole
    assert digest(run(tmp_path, b__tar=tar(B), a__tar=tar(A), train__jsonl=RECORDS)) == whole


def test_an_archive_may_have_its_images_in_a_folder_that_the_records_leave_out(tmp_path: Path) -> None:
    wrapped = tar({f"mydata/{name}": data for name, data in {**A, **B}.items()})
    outcome = run(tmp_path, train__jsonl=RECORDS, a__tar=wrapped)
    assert digest(outcome)
    assert texts(outcome.report) == []


def test_a_file_of_records_may_come_alone(tmp_path: Path) -> None:
    said = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
    assert digest(run(tmp_path, chat__jsonl=jsonl(said)))
    table = parquet([{"image": {"bytes": picture(1), "path": None}, "text": "x"}])
    assert digest(run(tmp_path, train__parquet=table))


def test_the_same_path_twice_names_both(tmp_path: Path) -> None:
    outcome = run(tmp_path, train__jsonl=RECORDS, a__tar=tar(A), b__tar=tar(A))
    assert texts(outcome.report)[0] == (
        'train.jsonl and 2 more › img/a.jpg: the path is in "a.tar" and in "b.tar". Keep one of them.'
    )


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("b__tar", tar(B)[:600], "train.jsonl and 2 more › b.tar: "),
        ("b__tar", zip_(B), "train.jsonl and 2 more › b.tar: the file is a zip archive by its bytes, a tar"),
        ("b__txt", b"hello", "train.jsonl and 2 more › b.txt: the file is text, not an archive"),
        ("b__tar__gz", gz(tar(B))[:-4], "train.jsonl and 2 more › b.tar.gz: "),
    ],
)
def test_what_is_wrong_with_one_of_them_is_said_of_it(
    name: str, data: bytes, said: str, tmp_path: Path
) -> None:
    files: dict[str, Any] = {"train__jsonl": RECORDS, "a__tar": tar(A), name: data}
    found = texts(run(tmp_path, **files).report)
    assert any(line.startswith(said) for line in found), found


def test_an_archive_named_as_records_is_an_archive(tmp_path: Path) -> None:
    assert digest(run(tmp_path, data__json=zip_({"train.jsonl": RECORDS, **A, **B})))
