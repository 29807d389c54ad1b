"""Names of members: what would lead out of the archive, or be two things at once, stops the import."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from visiontune_data.limits import Limits

from tests.support.archives import PACKERS, good, gz, run, tar_header, tar_of, texts, zip_of

BELOW = "Pack again with paths below the archive's root."
RELATIVE = "Pack again with relative paths."
KINDS = ["tar", "tar.gz", "zip"]


def renamed(data: bytes, old: str, new: str) -> bytes:
    """An archive with a name of the same length instead, as no packer would write it."""
    assert len(old) == len(new)
    return data.replace(old.encode(), new.encode())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", ["../x.jpg", "a/../../x.jpg", "a\\..\\..\\x.jpg"])
def test_a_path_that_leads_out_of_the_archive(kind: str, path: str, tmp_path: Path) -> None:
    outcome = run(PACKERS[kind]({path: b"x"}), tmp_path, f"d.{kind}")
    assert outcome.version is None
    assert texts(outcome.report) == [
        f'd.{kind} › {path}: the path "{path}" leads out of the archive. {BELOW}'
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", ["/etc/x", "C:\\x", "\\\\h\\s"])
def test_an_absolute_path(kind: str, path: str, tmp_path: Path) -> None:
    outcome = run(PACKERS[kind]({path: b"x"}), tmp_path, f"d.{kind}")
    assert outcome.version is None
    assert texts(outcome.report) == [f'd.{kind} › {path}: the path "{path}" is absolute. {RELATIVE}']


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(("type_", "what"), [(tarfile.SYMTYPE, "symbolic"), (tarfile.LNKTYPE, "hard")])
def test_a_link_in_a_tar(type_: bytes, what: str, compressed: bool, tmp_path: Path) -> None:
    data = tar_of(tar_header("a.jpg", type=type_, linkname="/etc/passwd"))
    name = "d.tar.gz" if compressed else "d.tar"
    outcome = run(gz(data) if compressed else data, tmp_path, name)
    assert outcome.version is None
    assert texts(outcome.report) == [
        (
            f'{name} › a.jpg: "a.jpg" is a {what} link to "/etc/passwd". '
            "Pack the file itself (tar --dereference)."
        )
    ]


@pytest.mark.parametrize(
    ("type_", "what"),
    [
        (tarfile.CHRTYPE, "a character device"),
        (tarfile.BLKTYPE, "a block device"),
        (tarfile.FIFOTYPE, "a pipe"),
        (b"V", 'a member of type "V"'),
    ],
)
def test_a_special_file_in_a_tar(type_: bytes, what: str, tmp_path: Path) -> None:
    outcome = run(gz(tar_of(tar_header("a.jpg", type=type_))), tmp_path, "d.tar.gz")
    assert outcome.version is None
    assert texts(outcome.report) == [f'd.tar.gz › a.jpg: "a.jpg" is {what}. Leave it out.']


@pytest.mark.parametrize(
    ("mode", "rule", "what", "remedy"),
    [
        (0o120777, "path-link", "a symbolic link", "Pack the file itself (tar --dereference)."),
        (0o020666, "path-special", "a character device", "Leave it out."),
        (0o060666, "path-special", "a block device", "Leave it out."),
        (0o010666, "path-special", "a pipe", "Leave it out."),
    ],
)
def test_a_link_or_device_in_a_zip(mode: int, rule: str, what: str, remedy: str, tmp_path: Path) -> None:
    header = zipfile.ZipInfo("a.jpg")
    header.create_system = 3
    header.external_attr = mode << 16
    outcome = run(zip_of({header: b"/etc/passwd"}), tmp_path, "d.zip")
    assert outcome.version is None
    assert texts(outcome.report, rule) == [f'd.zip › a.jpg: "a.jpg" is {what}. {remedy}']


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("one", "other"), [("a.jpg", "a.jpg"), ("a.jpg", "./a.jpg"), ("b/a.jpg", "b//a.jpg")]
)
def test_two_members_of_one_path(kind: str, one: str, other: str, tmp_path: Path) -> None:
    if kind == "zip":
        placeholder = "z" * len(other)
        data = renamed(PACKERS["zip"]({one: b"x", placeholder: b"y"}), placeholder, other)
        second = data.index(b"PK\x03\x04", 4)
    else:
        data = tar_of(tar_header(one), tar_header(other))
        data = gz(data) if kind == "tar.gz" else data
        second = 512
    outcome = run(data, tmp_path, f"d.{kind}")
    assert outcome.version is None
    assert texts(outcome.report) == [
        f"d.{kind} › {other}: the path is there twice, at bytes 0 and {second}. Keep one of them."
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_two_paths_that_are_one_once_composed(kind: str, tmp_path: Path) -> None:
    outcome = run(PACKERS[kind]({"\xe9.jpg": b"x", "e\u0301.jpg": b"y"}), tmp_path, f"d.{kind}")
    assert outcome.version is None
    assert texts(outcome.report) == [
        (
            f"d.{kind} › e\u0301.jpg: '\\xe9.jpg' and 'e\\u0301.jpg' are the same path once composed. "
            "Rename one of them."
        )
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("path", "shown"), [("a\nb.jpg", "a\\nb.jpg"), ("\x1b[31m.jpg", "\\x1b[31m.jpg")])
def test_control_characters_in_a_path_are_shown_escaped(
    kind: str, path: str, shown: str, tmp_path: Path
) -> None:
    outcome = run(PACKERS[kind]({path: b"x"}), tmp_path, f"d.{kind}")
    assert outcome.version is None
    assert texts(outcome.report) == [
        f'd.{kind} › {shown}: the path "{shown}" contains control characters. Rename the file.'
    ]


def test_a_path_that_is_not_utf8(tmp_path: Path) -> None:
    data = bytearray(tar_of(tar_header("a?.jpg")))
    data[1] = 0xFF
    data[148:156] = b"%06o\0 " % (sum(data[:148]) + 8 * 0x20 + sum(data[156:512]))
    outcome = run(bytes(data), tmp_path)
    assert outcome.version is None
    assert texts(outcome.report) == [
        'digits.tar › a\\xff.jpg: the path "a\\xff.jpg" is not UTF-8. Rename the file.'
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_path_longer_than_a_key_may_be(kind: str, tmp_path: Path) -> None:
    path = "d/" * 520 + "a.jpg"
    outcome = run(PACKERS[kind]({path: b"x"}), tmp_path, f"d.{kind}")
    assert outcome.version is None
    (line,) = texts(outcome.report)
    assert line.endswith(": the path has 1,045 bytes; at most 1,024 are read. Shorten it.")


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_long_path_is_read(kind: int, tmp_path: Path) -> None:
    files = good(2, folder="d" * 290)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as archive:
        for name, data in files.items():
            archive.addfile(tar_header(name, data), io.BytesIO(data))
    outcome = run(buffer.getvalue(), tmp_path)
    assert texts(outcome.report) == []
    assert outcome.report.example_count == 2


@pytest.mark.parametrize("kind", KINDS)
def test_backslashes_are_read_as_slashes_with_a_warning(kind: str, tmp_path: Path) -> None:
    files = {name.replace("/", "\\"): data for name, data in good(1).items()}
    outcome = run(PACKERS[kind](files), tmp_path, f"d.{kind}")
    assert outcome.version
    assert texts(outcome.report) == [
        (
            f'd.{kind} › img/0000.jpg: "img\\0000.jpg" was read as "img/0000.jpg". '
            "Nothing; they were read as slashes."
        )
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_paths_that_differ_in_case_are_both_kept_with_a_warning(kind: str, tmp_path: Path) -> None:
    files = good(2)
    files = {"train.jsonl": files["train.jsonl"].replace(b"0001.jpg", b"0000.JPG")} | {
        name.replace("0001.jpg", "0000.JPG"): data for name, data in files.items() if name != "train.jsonl"
    }
    outcome = run(PACKERS[kind](files), tmp_path, f"d.{kind}")
    assert outcome.report.example_count == 2
    assert texts(outcome.report) == [
        (
            f'd.{kind} › img/0000.JPG: differs from "img/0000.jpg" only in case. '
            "Rename one, or it will be lost on macOS and Windows."
        )
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_what_operating_systems_leave_behind_is_passed_over(kind: str, tmp_path: Path) -> None:
    junk = dict.fromkeys(("__MACOSX/._a.jpg", "img/._0000.jpg", ".DS_Store", "img/Thumbs.db"), b"?")
    outcome = run(PACKERS[kind](good() | junk), tmp_path, f"d.{kind}")
    assert outcome.version
    assert texts(outcome.report) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_around_everything_is_no_matter(kind: str, tmp_path: Path) -> None:
    files = {f"mydata/{name}": data for name, data in good().items()}
    outcome = run(PACKERS[kind](files), tmp_path, f"d.{kind}")
    assert outcome.report.example_count == 3
    assert texts(outcome.report) == []


@pytest.mark.parametrize("kind", KINDS)
def test_decomposed_names_are_found_by_composed_ones(kind: str, tmp_path: Path) -> None:
    files = good(1)
    records = files["train.jsonl"].replace(b"img/0000.jpg", "caf\xe9.jpg".encode())
    outcome = run(
        PACKERS[kind]({"train.jsonl": records, "cafe\u0301.jpg": files["img/0000.jpg"]}),
        tmp_path,
        f"d.{kind}",
    )
    assert outcome.version
    assert texts(outcome.report) == []


def test_folders_count_neither_as_files_nor_against_a_limit(tmp_path: Path) -> None:
    folders = [tar_header(f"d{n}", type=tarfile.DIRTYPE) for n in range(20)]
    outcome = run(tar_of(*folders), tmp_path, limits=Limits(images=1))
    assert [s.rule for s in outcome.report.rules] == ["archive-empty"]
