"""Tells what a file is by its first bytes."""

from visiontune_data.archive.refused import refuse
from visiontune_data.report import ARCHIVE, Problem
from visiontune_data.text import shorten

HEAD_BYTES = 512
_ACCEPTED = ".tar.gz, .tar and .zip are accepted"

_READ = (
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"\x1f\x8b", "gzip"),
    (257, b"ustar", "tar"),
)
_UNSUPPORTED = (
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (0, b"\x28\xb5\x2f\xfd", "Zstandard data"),
    (0, b"BZh", "bzip2 data"),
    (0, b"\xfd7zXZ\x00", "xz data"),
    (0, b"\x04\x22\x4d\x18", "LZ4 data"),
)
_KNOWN_OTHERS = (
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"\x89PNG", "a PNG image"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"version https://git-lfs", "a Git LFS pointer"),
    (0, b"<", "HTML or XML"),
    (0, b"{", "JSON"),
    (0, b"[", "JSON"),
)
_SUFFIXES = {"zip": (".zip",), "gzip": (".tar.gz", ".tgz", ".gz"), "tar": (".tar",)}
_NAMES = {"zip": "a zip archive", "gzip": "a gzip file", "tar": "a tar archive"}


def kind_of(head: bytes) -> str:
    """`zip`, `gzip` or `tar`. Raises Refused for anything else, saying what it is."""
    if not head:
        raise refuse("archive-empty", "the file has 0 bytes")
    if found := _match(_READ, head):
        return found
    if found := _match(_UNSUPPORTED, head):
        raise refuse("archive-unsupported", f"the file is {found}; {_ACCEPTED}")
    if has_tar_checksum(head) or _is_end_of_tar(head):
        return "tar"
    found = _match(_KNOWN_OTHERS, head) or ("text" if _is_text(head) else "of an unknown kind")
    raise refuse(
        "archive-unknown", f"the file is {found}, not an archive; {_ACCEPTED}", value=shorten(repr(head[:8]))
    )


def is_archive(head: bytes) -> bool:
    """Whether it is one that is read."""
    return bool(_match(_READ, head))


def mislabelled(filename: str, kind: str) -> Problem | None:
    """The warning for a name whose suffix says another kind."""
    name = filename.lower()
    claimed = next((k for k, endings in _SUFFIXES.items() if name.endswith(endings)), kind)
    if claimed == kind:
        return None
    return Problem(
        "archive-mislabelled",
        ARCHIVE,
        f"the file is {_NAMES[kind]} by its bytes, {_NAMES[claimed]} by its name",
    )


def _match(table: tuple[tuple[int, bytes, str], ...], head: bytes) -> str | None:
    return next((what for offset, magic, what in table if head.startswith(magic, offset)), None)


def has_tar_checksum(head: bytes) -> bool:
    """Whether it is the header of a tar member; a tar of before POSIX has no magic but a checksum."""
    field, summed = head[148:156].strip(b" \0"), head[:148] + 8 * b" " + head[156:512]
    if len(head) < HEAD_BYTES or not field or field.strip(b"01234567"):
        return False
    excess = sum(summed) - int(field, 8)
    # Some old programs summed their bytes as signed ones.
    return not excess or excess == 256 * sum(byte > 127 for byte in summed)


def _is_end_of_tar(head: bytes) -> bool:
    """Whether it is the end marker, with which a tar of no members begins."""
    return len(head) == HEAD_BYTES and not any(head)


def _is_text(head: bytes) -> bool:
    return all(byte >= 0x20 or byte in b"\t\n\r\f" for byte in head)
