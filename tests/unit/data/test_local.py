"""A folder is read as the tar that would be made of it."""

from pathlib import Path

import pytest
from visiontune_data.ingest import Outcome, ingest
from visiontune_data.local import FolderSource

from tests.support import archives


def folder_of(files: archives.Files, at: Path) -> Path:
    for name, content in files.items():
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        (at / name).write_bytes(content)
    return at


def imported(folder: Path, scratch: Path) -> Outcome:
    scratch.mkdir()
    return ingest(FolderSource(folder), "digits.tar", scratch, archives.HERE)


def test_a_folder_gives_the_version_that_its_archive_gives(tmp_path: Path) -> None:
    long = {"a/" * 60 + "é" * 60 + ".txt": b"x" * 700_000}  # a PAX header, and more than one chunk
    files = archives.good(3) | long
    outcome = imported(folder_of(files, tmp_path / "d"), tmp_path / "scratch")
    packed = archives.run(archives.tar(files), tmp_path)
    assert outcome.version
    assert packed.version
    assert outcome.version.digest == packed.version.digest
    assert outcome.report == packed.report


def test_a_link_in_a_folder_is_not_followed(tmp_path: Path) -> None:
    folder = folder_of(archives.good(1), tmp_path / "d")
    (folder / "secret.jpg").symlink_to("/etc/passwd")
    assert archives.texts(imported(folder, tmp_path / "scratch").report) == [
        (
            'digits.tar › secret.jpg: "secret.jpg" is a symbolic link to "/etc/passwd". '
            "Pack the file itself (tar --dereference)."
        )
    ]


def test_its_size_is_what_can_be_read_and_any_place_can_be_sought(tmp_path: Path) -> None:
    source = FolderSource(folder_of(archives.good(2), tmp_path / "d"))
    whole = b"".join(iter(lambda: source.read(1000), b""))
    assert len(whole) == source.size
    source.seek(700)
    assert source.read(300) == whole[700:1000]


def test_a_file_that_shrinks_while_it_is_read_is_no_bad_data(tmp_path: Path) -> None:
    folder = folder_of(archives.good(1), tmp_path / "d")
    source = FolderSource(folder)
    (folder / "train.jsonl").write_bytes(b"")
    with pytest.raises(OSError, match="became shorter"):
        b"".join(iter(lambda: source.read(1000), b""))
