"""Takes out of an image file what is written beside the picture: EXIF with its GPS, XMP, IPTC, comments.

The compressed picture is copied, never decoded and encoded anew. What stays is listed here: the parts that
a reader needs to show the picture as it did, its colour profile, and its orientation, alone in a new EXIF.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final

_UPRIGHT: Final = 1


class NotRemovable(Exception):  # noqa: N818 (named for what happened)
    """The metadata cannot be removed; the message says why."""


def strip(data: bytes, kind: str, orientation: int) -> bytes:
    """The file without its metadata, never longer than it was. Raises NotRemovable.

    `kind` is Pillow's name of the format, `orientation` the one of EXIF by which readers turn the picture.
    """
    if (parts := _PARTS.get(kind)) is None:
        raise NotRemovable(f"{kind} files keep it among what describes the pixels")
    try:
        stripped = b"".join(parts(data, _exif(orientation) if orientation != _UPRIGHT else b""))
    except (IndexError, struct.error) as error:
        raise NotRemovable(f"the {kind} file ends before its last part") from error
    if len(stripped) > len(data):
        raise NotRemovable("its EXIF data ends before it should")
    return stripped


def _exif(orientation: int) -> bytes:
    """EXIF data with this one tag."""
    return b"MM\0*" + struct.pack(">LHHHLHHL", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


_JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_JPEG_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # neither a byte of 255 nor a restart
_APP0, _APP1, _APP2, _APP14, _START_OF_SCAN, _END = 0xE0, 0xE1, 0xE2, 0xEE, 0xDA, 0xD9
_JPEG_PICTURE = frozenset({*range(0xC0, 0xD0), *range(0xDA, 0xE0)}) - {0xC8}  # frames, tables, scans
_JPEG_PROFILE = (_APP2, b"ICC_PROFILE\0")
_JPEG_COLOURS = (_APP14, b"Adobe")  # says which transform made the colours
_JFIF_BYTES = 12  # before the size of its thumbnail


def _jpeg(data: bytes, exif: bytes) -> Iterator[bytes]:
    """Ends behind the first picture: what follows are other frames of it, or what a camera appended."""
    yield data[:2]
    if exif:
        yield _segment(_APP1, b"Exif\0\0" + exif)
    at = 2
    while True:
        if not (found := _JPEG_MARKER.match(data, at)):
            raise NotRemovable("the segments of the JPEG file do not follow each other")
        marker, at = found[1][0], found.end()
        if marker == _END:
            yield bytes((0xFF, _END))
            return
        (length,) = struct.unpack_from(">H", data, at)
        body = data[at + 2 : at + length]
        if len(body) != length - 2:
            raise NotRemovable("a segment of the JPEG file is longer than the file")
        at += length
        if marker == _APP0 and body.startswith(b"JFIF\0"):
            yield _segment(_APP0, body[:_JFIF_BYTES] + bytes(2))
        elif marker in _JPEG_PICTURE or any(
            marker == kept and body.startswith(name) for kept, name in (_JPEG_PROFILE, _JPEG_COLOURS)
        ):
            yield _segment(marker, body)
        if marker == _START_OF_SCAN:
            if not (end := _JPEG_SCAN_END.search(data, at)):
                raise NotRemovable("the JPEG file has no end marker")
            yield data[at : end.start()]
            at = end.start()


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body


_PNG_KEPT = frozenset(
    b"IHDR PLTE IDAT IEND tRNS cHRM gAMA iCCP sBIT sRGB cICP mDCV cLLI bKGD pHYs acTL fcTL fdAT".split()
)


def _png(data: bytes, exif: bytes) -> Iterator[bytes]:
    yield data[:8]
    at, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">L4s", data, at)
        chunk = data[at : at + 12 + length]
        if len(chunk) != 12 + length:
            raise NotRemovable("a chunk of the PNG file is longer than the file")
        if kind == b"IDAT" and exif:
            named = b"eXIf" + exif
            yield struct.pack(">L", len(exif)) + named + struct.pack(">L", zlib.crc32(named))
            exif = b""
        if kind in _PNG_KEPT:
            yield chunk
        at += len(chunk)


_WEBP_KEPT = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP", b"ANIM", b"ANMF"))
_WEBP_HAS_EXIF, _WEBP_HAS_XMP = 0x08, 0x04  # bits of VP8X


def _webp(data: bytes, exif: bytes) -> Iterator[bytes]:
    (size,) = struct.unpack_from("<L", data, 4)
    at, chunks = 12, []
    while at < 8 + size:
        kind, length = struct.unpack_from("<4sL", data, at)
        body = data[at + 8 : at + 8 + length]
        if len(body) != length:
            raise NotRemovable("a chunk of the WebP file is longer than the file")
        if kind == b"VP8X":
            flags = body[0] & ~(_WEBP_HAS_EXIF | _WEBP_HAS_XMP) | (_WEBP_HAS_EXIF if exif else 0)
            body = bytes((flags,)) + body[1:]
        if kind in _WEBP_KEPT:
            chunks.append(_chunk(kind, body))
        at += 8 + length + length % 2
    if exif:
        chunks.append(_chunk(b"EXIF", exif))
    whole = b"WEBP" + b"".join(chunks)
    yield b"RIFF" + struct.pack("<L", len(whole)) + whole


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack("<4sL", kind, len(body)) + body + bytes(len(body) % 2)


_GIF_EXTENSION, _GIF_IMAGE, _GIF_END = 0x21, 0x2C, 0x3B
_GIF_CONTROL, _GIF_APPLICATION = 0xF9, 0xFF
_GIF_KEPT = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012")  # how often it repeats; its profile


def _gif(data: bytes, _: bytes) -> Iterator[bytes]:
    at = 13 + _gif_table(data[10])
    yield data[:at]
    while (what := data[at]) != _GIF_END:
        if what == _GIF_IMAGE:
            end = _gif_blocks_end(data, at + 11 + _gif_table(data[at + 9]))
            is_kept = True
        elif what == _GIF_EXTENSION:
            end = _gif_blocks_end(data, at + 2)
            label = data[at + 1]
            is_kept = label == _GIF_CONTROL or (
                label == _GIF_APPLICATION and data.startswith(_GIF_KEPT, at + 3)
            )
        else:
            raise NotRemovable("the blocks of the GIF file do not follow each other")
        if is_kept:
            yield data[at:end]
        at = end
    yield bytes((_GIF_END,))


def _gif_table(flags: int) -> int:
    """Bytes of the colour table that the flags announce."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _gif_blocks_end(data: bytes, at: int) -> int:
    while length := data[at]:
        at += 1 + length
    return at + 1


def _as_it_is(data: bytes, _: bytes) -> Iterator[bytes]:
    yield data


_PARTS: Mapping[str, Callable[[bytes, bytes], Iterator[bytes]]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "GIF": _gif,
    "BMP": _as_it_is,  # has no place for any
}
