"""Zip members: the central directory by range reads, then the files in the order in which they lie."""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from visiontune_data.archive.member import Member
from visiontune_data.archive.refused import Refused, refuse
from visiontune_data.archive.stream import CHUNK_BYTES, Guard, Source, trailing
from visiontune_data.limits import MIB, Limits
from visiontune_data.report import Place, Problem
from visiontune_data.text import shorten

_END, _END64, _LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_CENTRAL, _LOCAL = b"PK\x01\x02", b"PK\x03\x04"
_END_STRUCT = struct.Struct("<4s4H2LH")
_CENTRAL_STRUCT = struct.Struct("<4s6H3L5H2L")
_LOCAL_STRUCT = struct.Struct("<4s5H3L2H")
_TAIL_BYTES = 1 * MIB  # the end record's comment takes at most 64 KiB; the rest finds bytes appended later
_DIRECTORY_BYTES_PER_MEMBER = 2048
_STORED, _DEFLATED = 0, 8
_METHODS = {
    9: "Deflate64",
    12: "bzip2",
    14: "LZMA",
    93: "Zstandard",
    95: "xz",
    98: "PPMd",
    99: "AES encryption",
}
_FILE_TYPES = {
    0o12: "a symbolic link",
    0o02: "a character device",
    0o06: "a block device",
    0o01: "a pipe",
    0o14: "a socket",
}


@dataclass(frozen=True, slots=True)
class _Entry:
    """One line of the central directory."""

    raw: str
    stored_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    mode: int
    renamed: bool


def members(
    source: Source, guard: Guard, limits: Limits, warn: Callable[[Problem], None]
) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """The regular files of a zip in the order of their bytes, each with its bytes. Raises Refused."""
    start, length, count = _find_directory(source, warn)
    if count > limits.members:
        raise refuse(
            "member-count", f"the archive has {count:,} members; at most {limits.members:,} are read"
        )
    entries = sorted(_directory(source, start, length, count), key=lambda e: (e.offset, e.raw))
    if sum(e.size for e in entries) > limits.archive_bytes:
        raise refuse("archive-bomb", f"the files would take more than {limits.archive_bytes:,} bytes")
    ends = [*(entry.offset for entry in entries), start][1:]
    for entry, following in zip(entries, ends, strict=True):
        if entry.renamed:
            warn(
                Problem(
                    "zip-name-encoding",
                    Place(entry.raw),
                    f'the name "{shorten(entry.raw)}" is UTF-8 but not marked so',
                )
            )
        if not entry.raw.endswith("/"):
            yield (
                Member(entry.raw, entry.size, entry.offset, _broken_rule(entry)),
                _body(source, guard, entry, following),
            )


def _find_directory(source: Source, warn: Callable[[Problem], None]) -> tuple[int, int, int]:
    """Offset, length and number of entries of the central directory."""
    tail_start = max(0, source.size - _TAIL_BYTES)
    tail = _read_at(source, tail_start, source.size - tail_start)
    at = tail.rfind(_END)
    while at >= 0 and len(tail) - at < _END_STRUCT.size:
        at = tail.rfind(_END, 0, at)
    if at < 0:
        raise refuse("archive-truncated", f"the zip ends at byte {source.size:,} without its directory")
    _, _, _, _, count, length, start, comment = _END_STRUCT.unpack_from(tail, at)
    rest = tail[at + _END_STRUCT.size :]
    if len(rest) < comment:
        raise refuse("archive-truncated", f"the zip ends at byte {source.size:,}, in its comment")
    if extra := rest[comment:].rstrip(b"\0"):
        warn(trailing(len(extra)))
    if count == 0xFFFF or length == 0xFFFFFFFF or start == 0xFFFFFFFF:
        start, length, count = _zip64(source, tail, at, (start, length, count))
    if start + length > tail_start + at:
        raise refuse("archive-truncated", "the zip's directory lies outside of the file")
    return start, length, count


def _zip64(source: Source, tail: bytes, at: int, plain: tuple[int, int, int]) -> tuple[int, int, int]:
    locator = tail[max(0, at - 20) : at]
    if not locator.startswith(_LOCATOR64):
        return plain
    record = _read_at(source, struct.unpack_from("<Q", locator, 8)[0], 56)
    if len(record) < 56 or not record.startswith(_END64):
        raise refuse("archive-truncated", "the zip's 64-bit directory record is not where it should be")
    count, length, start = struct.unpack_from("<3Q", record, 32)
    return start, length, count


def _directory(source: Source, start: int, length: int, count: int) -> Iterator[_Entry]:
    if length > (count + 1) * _DIRECTORY_BYTES_PER_MEMBER + MIB:
        raise refuse("tar-header-huge", f"the zip's directory has {length:,} bytes for {count:,} files")
    data = _read_at(source, start, length)
    position = 0
    for _ in range(count):
        if len(data) - position < _CENTRAL_STRUCT.size or not data.startswith(_CENTRAL, position):
            raise refuse("archive-truncated", f"the zip's directory breaks off at byte {start + position:,}")
        fields = _CENTRAL_STRUCT.unpack_from(data, position)
        flags, method, crc, packed, size = fields[3], fields[4], fields[7], fields[8], fields[9]
        name_length, extra_length, comment_length, offset = fields[10], fields[11], fields[12], fields[16]
        name_at = position + _CENTRAL_STRUCT.size
        name = data[name_at : name_at + name_length]
        extra = data[name_at + name_length : name_at + name_length + extra_length]
        size, packed, offset = _wide(extra, size, packed, offset)
        raw, renamed = _decode_name(name, flags)
        mode = fields[15] >> 16 if fields[1] >> 8 == 3 else 0
        yield _Entry(raw, name, flags, method, crc, packed, size, offset, mode, renamed)
        position = name_at + name_length + extra_length + comment_length


def _wide(extra: bytes, *narrow: int) -> tuple[int, ...]:
    """`narrow` with each 32-bit value that is all ones replaced from the zip64 extra field."""
    position = 0
    while position + 4 <= len(extra):
        tag, length = struct.unpack_from("<2H", extra, position)
        if tag == 1:
            values = iter(
                struct.unpack_from(
                    f"<{length // 8}Q", extra.ljust(position + 4 + length, b"\0"), position + 4
                )
            )
            return tuple(next(values, value) if value == 0xFFFFFFFF else value for value in narrow)
        position += 4 + length
    return narrow


def _decode_name(name: bytes, flags: int) -> tuple[str, bool]:
    """The name, and whether it was UTF-8 without being marked so."""
    if flags & 0x800:
        return name.decode("utf-8", "surrogateescape"), False
    try:
        return name.decode("utf-8"), not name.isascii()
    except UnicodeDecodeError:
        return name.decode("cp437"), False


def _broken_rule(entry: _Entry) -> Problem | None:
    place, shown = Place(entry.raw), shorten(entry.raw)
    if kind := _FILE_TYPES.get(entry.mode >> 12):
        rule = "path-link" if kind == "a symbolic link" else "path-special"
        return Problem(rule, place, f'"{shown}" is {kind}', shown)
    if entry.flags & 1:
        return Problem("zip-encrypted", place, f'"{shown}" is encrypted', shown)
    if entry.method not in {_STORED, _DEFLATED}:
        method = _METHODS.get(entry.method, f"method {entry.method}")
        return Problem("zip-method", place, f'"{shown}" is compressed by {method}', method)
    return None


def _body(source: Source, guard: Guard, entry: _Entry, following: int) -> Iterator[bytes]:
    """The entry's bytes. `following` is where the next entry, or the directory, begins."""
    begin = _data_offset(source, entry)
    if begin + entry.packed > following:
        raise refuse(
            "zip-overlap",
            f'the bytes of "{shorten(entry.raw)}" reach into what begins at byte {following:,}',
            place=Place(entry.raw),
        )
    crc = produced = 0
    for chunk in _inflate(_packed(source, guard, begin, entry), entry):
        guard.gave(len(chunk))
        crc = zlib.crc32(chunk, crc)
        produced += len(chunk)
        if produced > entry.size:
            break
        yield chunk
    if produced != entry.size:
        found = f"more than {entry.size:,}" if produced > entry.size else f"{produced:,}"
        message = f'"{shorten(entry.raw)}" has {found} bytes; the directory declares {entry.size:,}'
        raise refuse("zip-size-lie", message, place=Place(entry.raw))
    if crc != entry.crc:
        message = f'"{shorten(entry.raw)}" has checksum {crc:08x}; the directory declares {entry.crc:08x}'
        raise refuse("zip-crc", message, place=Place(entry.raw))


def _data_offset(source: Source, entry: _Entry) -> int:
    header = _read_at(source, entry.offset, _LOCAL_STRUCT.size)
    if len(header) < _LOCAL_STRUCT.size or not header.startswith(_LOCAL):
        message = f'the header of "{shorten(entry.raw)}" is not at byte {entry.offset:,}'
        raise refuse("archive-truncated", message, place=Place(entry.raw))
    name_length, extra_length = struct.unpack_from("<2H", header, _LOCAL_STRUCT.size - 4)
    name = source.read(name_length)
    if name != entry.stored_name:
        local = shorten(name.decode("utf-8", "surrogateescape"))
        message = f'the directory names it "{shorten(entry.raw)}", its own header "{local}"'
        raise refuse("zip-name-mismatch", message, place=Place(entry.raw), value=local)
    source.read(extra_length)
    return entry.offset + _LOCAL_STRUCT.size + int(name_length) + int(extra_length)


def _packed(source: Source, guard: Guard, begin: int, entry: _Entry) -> Iterator[bytes]:
    source.seek(begin)
    left = entry.packed
    while left:
        chunk = source.read(min(left, CHUNK_BYTES))
        if not chunk:
            raise _cut(entry)
        guard.took(len(chunk))
        left -= len(chunk)
        yield chunk


def _inflate(packed: Iterator[bytes], entry: _Entry) -> Iterator[bytes]:
    if entry.method == _STORED:
        yield from packed
        return
    inflater = zlib.decompressobj(wbits=-15)
    for piece in packed:
        pending = piece
        while pending and not inflater.eof:
            try:
                chunk = inflater.decompress(pending, CHUNK_BYTES)
            except zlib.error as error:
                message = f'"{shorten(entry.raw)}" cannot be decompressed'
                raise refuse("zip-crc", message, place=Place(entry.raw)) from error
            pending = inflater.unconsumed_tail
            yield chunk
    yield inflater.flush()


def _cut(entry: _Entry) -> Refused:
    return refuse(
        "archive-truncated", f'the zip ends in the middle of "{shorten(entry.raw)}"', place=Place(entry.raw)
    )


def _read_at(source: Source, offset: int, length: int) -> bytes:
    source.seek(offset)
    pieces = []
    while length > 0 and (piece := source.read(length)):
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)
