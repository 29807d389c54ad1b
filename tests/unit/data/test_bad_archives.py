"""Archives that are broken or dangerous as archives: each says which rule, where, and what to do."""

import io
import struct
import tarfile
import warnings
import zipfile
import zlib
from pathlib import Path

import pytest
from visiontune_data.archive import tar_members
from visiontune_data.archive.stream import ByteStream
from visiontune_data.limits import Limits

from tests.support.archives import (
    PACKERS,
    good,
    gz,
    picture,
    run,
    tar,
    tar_gz,
    tar_header,
    tar_of,
    texts,
    zip_,
    zip_of,
)

REPACK = "Pack the files again as .tar.gz, .tar or .zip."
AGAIN = "Pack the archive again from the original files and upload that."
UPLOAD = "Upload it again; if it stays so, pack it again."
ACCEPTED = ".tar.gz, .tar and .zip are accepted"


def refused(data: bytes, tmp_path: Path, name: str = "d.tar", limits: Limits | None = None) -> list[str]:
    """The lines of the report of an archive that makes no version, nor leaves anything."""
    outcome = run(data, tmp_path, name, limits=limits or Limits())
    assert outcome.version is None
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    return texts(outcome.report)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"only text\n", "text"),
        (picture(), "a JPEG image"),
        (picture(0, "PNG"), "a PNG image"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b'{"a": 1}\n', "JSON"),
        (b"<html></html>", "HTML or XML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (bytes(range(1, 200)), "of an unknown kind"),
    ],
)
@pytest.mark.parametrize("suffix", ["tar.gz", "zip"])
def test_a_file_that_is_no_archive_is_told_by_its_bytes(
    data: bytes, what: str, suffix: str, tmp_path: Path
) -> None:
    assert refused(data, tmp_path, f"d.{suffix}") == [
        f"d.{suffix}: the file is {what}, not an archive; {ACCEPTED}. {REPACK}"
    ]


@pytest.mark.parametrize(
    ("magic", "what"),
    [
        (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
        (b"Rar!\x1a\x07\x00", "a RAR archive"),
        (b"\x28\xb5\x2f\xfd", "Zstandard data"),
        (b"BZh9", "bzip2 data"),
        (b"\xfd7zXZ\x00", "xz data"),
    ],
)
def test_an_archive_of_a_kind_that_is_not_read_is_named(magic: bytes, what: str, tmp_path: Path) -> None:
    assert refused(magic + b"\0" * 600, tmp_path) == [f"d.tar: the file is {what}; {ACCEPTED}. {REPACK}"]


def test_a_gzip_of_something_else_is_no_archive(tmp_path: Path) -> None:
    line = f"d.tar.gz: the file holds no tar archive; {ACCEPTED}. {REPACK}"
    assert refused(gz(b"just text " * 200), tmp_path, "d.tar.gz") == [line]


@pytest.mark.parametrize("pack", [tar, tar_gz, zip_], ids=["tar", "tar.gz", "zip"])
def test_an_archive_without_members_is_empty(pack: type, tmp_path: Path) -> None:
    remedy = "Put the metadata file and the images into it."
    found = refused(pack({}), tmp_path, {tar: "d.tar", tar_gz: "d.tar.gz"}.get(pack, "d.zip"))
    assert [line.partition(": ")[2] for line in found] == [f"the archive has 0 members. {remedy}"]


def test_a_file_of_no_bytes_is_empty(tmp_path: Path) -> None:
    assert refused(b"", tmp_path) == [
        "d.tar: the file has 0 bytes. Put the metadata file and the images into it."
    ]


def test_a_tar_cut_in_a_file_says_where(tmp_path: Path) -> None:
    line = f'd.tar: the archive ends at byte 700, in the middle of "a.txt". {UPLOAD}'
    assert refused(tar({"a.txt": b"x" * 1000})[:700], tmp_path) == [line]


def test_a_tar_cut_in_a_header_says_after_what(tmp_path: Path) -> None:
    line = f'd.tar: the archive ends at byte 1,024, after "a.txt", without an end marker. {UPLOAD}'
    assert refused(tar({"a.txt": b"x" * 10, "b.txt": b"y"})[:1300], tmp_path) == [line]


def test_a_tar_cut_at_a_member_boundary_is_truncated_too(tmp_path: Path) -> None:
    line = f'd.tar: the archive ends at byte 1,024, after "a.txt", without an end marker. {UPLOAD}'
    assert refused(tar({"a.txt": b"x" * 10, "b.txt": b"y"})[:1024], tmp_path) == [line]


def test_a_gzip_cut_anywhere_is_truncated(tmp_path: Path) -> None:
    whole = tar_gz(good())
    for length in (len(whole) // 2, len(whole) - 9, len(whole) - 1):
        line = f"d.tar.gz: the gzip data ends after {length:,} bytes, before its end. {UPLOAD}"
        assert refused(whole[:length], tmp_path, "d.tar.gz") == [line]


def test_a_zip_cut_by_one_byte_or_by_half_is_truncated(tmp_path: Path) -> None:
    whole = zip_(good())
    for length in (len(whole) - 1, len(whole) // 2):
        line = f"d.zip: the zip ends at byte {length:,} without its directory. {UPLOAD}"
        assert refused(whole[:length], tmp_path, "d.zip") == [line]


def test_a_corrupt_header_in_a_tar_is_an_error_not_the_end(tmp_path: Path) -> None:
    data = bytearray(tar({"a.txt": b"x", "b.txt": b"y"}))
    data[1024] ^= 1
    line = f"d.tar: the header at byte 1,024 fails its checksum. {AGAIN}"
    assert refused(bytes(data), tmp_path) == [line]


def test_a_wrong_checksum_at_the_end_of_a_gzip_is_found(tmp_path: Path) -> None:
    data = bytearray(tar_gz(good()))
    data[-8:-4] = b"\0\0\0\0"
    (line,) = refused(bytes(data), tmp_path, "d.tar.gz")
    assert line == (
        f"d.tar.gz: the gzip data is corrupt near byte {len(data):,} (incorrect data check). {AGAIN}"
    )


@pytest.mark.parametrize("size", [b"\xff" * 12, b"zzz".ljust(12, b"\0")])
def test_an_impossible_size_in_a_tar_is_refused(size: bytes, tmp_path: Path) -> None:
    data = bytearray(tar({"a.txt": b"x"}))
    data[124:136] = size
    data[:512] = with_checksum(bytes(data[:512]))
    found = "the size -1" if size.startswith(b"\xff") else "no valid size"
    assert refused(bytes(data), tmp_path) == [f"d.tar: the header at byte 0 holds {found}. {AGAIN}"]


@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_headers_are_read_as_the_standard_library_reads_them(format_: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_) as archive:
        for name in ("a.jpg", "é/ü.jpg", f"{'x' * 90}/{'y' * 90}.jpg"):
            archive.addfile(tar_header(name, name.encode()), io.BytesIO(name.encode()))
        archive.addfile(tar_header("folder/", type=tarfile.DIRTYPE))
        archive.addfile(tar_header("old/", type=tarfile.AREGTYPE))
    with tarfile.open(fileobj=io.BytesIO(buffer.getvalue())) as archive:
        expected = [(found.name, found.size) for found in archive if found.isfile()]
    assert members_of(buffer.getvalue()) == expected


def test_a_size_in_binary_is_read() -> None:
    data = tar({"a.jpg": b"four"})
    block = bytearray(data[:512])
    block[124:136] = b"\x80" + (4).to_bytes(11, "big")
    assert members_of(with_checksum(bytes(block)) + data[512:]) == [("a.jpg", 4)]


def test_bytes_summed_as_signed_are_a_checksum_too() -> None:
    data = tar({"é.jpg": b"four"})
    block = data[:148] + b" " * 8 + data[156:512]
    signed = sum(byte - 256 if byte > 127 else byte for byte in block)
    assert members_of(block[:148] + b"%06o\0 " % signed + data[156:]) == [("é.jpg", 4)]


def members_of(data: bytes) -> list[tuple[str, int]]:
    """The paths in a tar and how many bytes each has."""
    stream = ByteStream(iter([data]))
    found = tar_members.members(stream, Limits(), lambda _: None)
    return [(member.raw, sum(map(len, chunks))) for member, chunks in found]


def with_checksum(block: bytes) -> bytes:
    """The header with the checksum that it should have."""
    return block[:148] + b"%06o\0 " % (sum(block[:148]) + 8 * 0x20 + sum(block[156:])) + block[156:]


def test_a_huge_extended_header_is_not_held_in_memory(tmp_path: Path) -> None:
    header = tar_header("a.txt", pax_headers={"comment": "x" * 5_000_000})
    (line,) = refused(tar_of(header), tmp_path)
    assert line == (
        "d.tar: the extended header at byte 0 has 5,000,017 bytes; at most 1,048,576 are read. "
        "Pack again without extended attributes."
    )


@pytest.mark.parametrize("name", ["bomb.tar.gz", "bomb.zip"])
def test_a_decompression_bomb_is_stopped_within_a_mebibyte(name: str, tmp_path: Path) -> None:
    zeros = {"train.jsonl": b"\0" * 50_000_000}
    data = tar_gz(zeros) if name.endswith("gz") else zip_(zeros)
    (line,) = refused(data, tmp_path, name)
    ratio = "at most 100 times is read. Upload the images as they are, without padding."
    assert line.startswith(f"{name}: ")
    assert line.endswith(ratio)
    consumed, produced = (
        int(text.replace(",", ""))
        for text in line.partition(": ")[2].replace(";", "").split()
        if text[0].isdigit() and "," in text
    )
    assert produced - (10 * 1024**2 + 100 * consumed) < 1024**2


@pytest.mark.parametrize("name", ["d.tar.gz", "d.zip"])
def test_more_bytes_than_the_limit_are_a_bomb_too(name: str, tmp_path: Path) -> None:
    noise = {"a.txt": bytes(range(256)) * 40}
    data = tar_gz(noise) if name.endswith("gz") else zip_(noise)
    limits = Limits(archive_bytes=10_000)
    (line,) = refused(data, tmp_path, name, limits)
    said = "more than 10,000 bytes come out of the archive"
    if name == "d.zip":
        said = "the files would take more than 10,000 bytes"
    assert line == f"{name}: {said}. Upload the images as they are, without padding."


@pytest.mark.parametrize("kind", PACKERS)
def test_more_members_than_the_limit_are_refused(kind: str, tmp_path: Path) -> None:
    data = PACKERS[kind]({f"{n}.txt": b"" for n in range(9)})
    (line,) = refused(data, tmp_path, f"d.{kind}", Limits(images=2))
    found = "9 members; at most 8 are read" if kind == "zip" else "more than 8 members"
    assert line == (
        f"d.{kind}: the archive has {found}. "
        "Leave out files that are neither images nor metadata, or split the archive."
    )


def test_a_sparse_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    gnu = tar_of(tar_header("big.jpg", type=tarfile.GNUTYPE_SPARSE))
    pax = tar_of(tar_header("big.jpg", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}))
    (line,) = refused(gnu, tmp_path)
    assert line == 'd.tar › big.jpg: "big.jpg" is a sparse file (at byte 0). Pack again without --sparse.'
    assert "is a sparse file" in refused(pax, tmp_path)[0]


def test_a_flipped_byte_in_a_zip_fails_its_checksum(tmp_path: Path) -> None:
    stored = bytearray(zip_of({zipfile.ZipInfo("a.txt"): b"x" * 100}, zipfile.ZIP_STORED))
    stored[60] ^= 1
    (line,) = refused(bytes(stored), tmp_path, "d.zip")
    was = zlib.crc32(b"x" * 100)
    now = zlib.crc32(bytes(stored[35:135]))
    assert line == (
        f'd.zip › a.txt: "a.txt" has checksum {now:08x}; the directory declares {was:08x}. {AGAIN}'
    )


def test_deflated_bytes_that_cannot_be_inflated_say_so(tmp_path: Path) -> None:
    data = bytearray(zip_({"a.txt": b"some text " * 50}))
    data[35] = 0xFF
    (line,) = refused(bytes(data), tmp_path, "d.zip")
    assert line == f'd.zip › a.txt: "a.txt" cannot be decompressed. {AGAIN}'


def central(data: bytes | bytearray) -> int:
    """Where the zip's directory begins."""
    return data.index(b"PK\x01\x02")


def test_a_size_that_is_a_lie_is_found(tmp_path: Path) -> None:
    data = bytearray(zip_({"a.txt": b"x" * 3000}))
    struct.pack_into("<L", data, central(data) + 24, 10)
    (line,) = refused(bytes(data), tmp_path, "d.zip")
    assert line == f'd.zip › a.txt: "a.txt" has more than 10 bytes; the directory declares 10. {AGAIN}'


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    data = bytearray(zip_({"a.txt": b"x" * 30}))
    data[central(data) + 8] |= 1
    (line,) = refused(bytes(data), tmp_path, "d.zip")
    assert line == 'd.zip › a.txt: "a.txt" is encrypted. Pack again without a password.'


@pytest.mark.parametrize(
    ("method", "name"), [(9, "Deflate64"), (93, "Zstandard"), (99, "AES encryption"), (77, "method 77")]
)
def test_a_method_that_is_not_read_is_named(method: int, name: str, tmp_path: Path) -> None:
    data = bytearray(zip_({"a.txt": b"x" * 30}))
    struct.pack_into("<H", data, central(data) + 10, method)
    (line,) = refused(bytes(data), tmp_path, "d.zip")
    assert line == (
        f'd.zip › a.txt: "a.txt" is compressed by {name}. Pack again with ordinary (Deflate) compression.'
    )


def test_two_names_for_one_file_overlap_or_mismatch(tmp_path: Path) -> None:
    data = bytearray(zip_({"a.txt": b"x" * 30, "b.txt": b"y" * 30}))
    second = data.index(b"PK\x01\x02", central(data) + 4)
    struct.pack_into("<L", data, second + 42, 0)
    (line,) = refused(bytes(data), tmp_path, "d.zip")
    assert line == f'd.zip › a.txt: the bytes of "a.txt" reach into what begins at byte 0. {AGAIN}'


def test_a_local_header_with_another_name_is_refused(tmp_path: Path) -> None:
    data = bytearray(zip_({"a.txt": b"x" * 30}))
    data[central(data) + 46] = ord("z")
    (line,) = refused(bytes(data), tmp_path, "d.zip")
    assert line == f'd.zip › z.txt: the directory names it "z.txt", its own header "a.txt". {AGAIN}'


# What must be read, where naive code fails


@pytest.mark.parametrize(("kind", "claimed"), [("zip", "tar.gz"), ("tar.gz", "zip"), ("tar", "tar.gz")])
def test_a_wrong_suffix_is_a_warning(kind: str, claimed: str, tmp_path: Path) -> None:
    names = {"zip": "a zip archive", "tar.gz": "a gzip file", "tar": "a tar archive"}
    outcome = run(PACKERS[kind](good()), tmp_path, f"d.{claimed}")
    assert outcome.version
    assert texts(outcome.report) == [
        f"d.{claimed}: the file is {names[kind]} by its bytes, {names[claimed]} by its name. Rename the file."
    ]


def test_a_gzip_of_several_members_is_read_whole(tmp_path: Path) -> None:
    inner = tar(good())
    outcome = run(gz(inner[:3000]) + gz(inner[3000:]), tmp_path, "d.tar.gz")
    assert outcome.report.example_count == 3
    assert texts(outcome.report) == []


def test_bytes_after_the_end_are_a_warning_and_zeros_none(tmp_path: Path) -> None:
    junk = bytes(range(1, 101))
    for name, data in (("d.tar.gz", tar_gz(good())), ("d.zip", zip_(good()))):
        assert texts(run(data + bytes(4096), tmp_path, name).report) == []
        outcome = run(data + junk, tmp_path, name)
        assert outcome.version
        assert texts(outcome.report) == [
            (
                f"{name}: 100 bytes after the end of the archive were ignored. "
                "Nothing, if you know them; they are ignored."
            )
        ]


def test_a_second_tar_after_the_first_is_ignored_with_a_warning(tmp_path: Path) -> None:
    outcome = run(tar(good()) + tar({"b.txt": b"x"}), tmp_path)
    assert outcome.version
    assert [s.rule for s in outcome.report.rules] == ["trailing-data"]


class _Unseekable(io.RawIOBase):
    """Takes bytes as a pipe does, so that sizes follow the data."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.data += memoryview(data)  # type: ignore[arg-type]  # any buffer, as RawIOBase says
        return memoryview(data).nbytes  # type: ignore[arg-type]  # likewise


def test_a_zip_written_to_a_pipe_is_read(tmp_path: Path) -> None:
    pipe = _Unseekable()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in good().items():
            archive.writestr(name, data)
    assert run(bytes(pipe.data), tmp_path, "d.zip").report.example_count == 3


def test_a_zip64_is_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in good().items():
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(data)
    assert run(buffer.getvalue(), tmp_path, "d.zip").report.example_count == 3


def test_an_archive_inside_is_named_and_not_opened(tmp_path: Path) -> None:
    outcome = run(tar(good() | {"inner.zip": zip_(good())}), tmp_path)
    assert texts(outcome.report) == [
        (
            "digits.tar › inner.zip: the archive inside is not opened. "
            "Unpack the inner archive and pack its files directly."
        )
    ]


def test_a_utf8_name_that_is_not_marked_is_read_as_utf8(tmp_path: Path) -> None:
    name = "img/café.jpg"
    files = good(1)
    files = {"train.jsonl": files["train.jsonl"].replace(b"img/0000.jpg", name.encode()), name: picture()}
    data = bytearray(zip_(files))
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.index(magic)
        while place >= 0:
            flags = struct.unpack_from("<H", data, place + at)[0]
            struct.pack_into("<H", data, place + at, flags & ~0x800)
            place = data.find(magic, place + 4)
    outcome = run(bytes(data), tmp_path, "d.zip")
    assert outcome.version
    assert texts(outcome.report) == [
        f'd.zip › {name}: the name "{name}" is UTF-8 but not marked so. Nothing; it was read as UTF-8.'
    ]


def test_a_file_twice_in_a_zip_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = zip_of({zipfile.ZipInfo("a.txt"): b"x", zipfile.ZipInfo("a.txt"): b"y"})
    (line,) = refused(data, tmp_path, "d.zip")
    second = data.index(b"PK\x03\x04", 4)
    assert line == (f"d.zip › a.txt: the path is there twice, at bytes 0 and {second}. Keep one of them.")
