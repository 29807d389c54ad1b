"""What is special about JPEG: its segments, and pixels at an eighth of the size or more."""

from typing import Any, Final

import simplejpeg
from PIL import Image

PLAIN_COLOURS: Final = frozenset({"YCbCr", "Gray"})
_SCALE: Final = 8  # libjpeg transforms a block of 8 x 8 to as many pixels as are wanted
_MARKER: Final = 0xFF
_START_OF_SCAN: Final = 0xDA
# XMP, too, may say how the picture lies, and other readers obey it.
_UNUSUAL_SEGMENTS = (b"Exif\0", b"ICC_PROFILE\0", b"MPF\0", b"http://ns.adobe.com/xap/1.0/\0")


def is_plain(data: bytes) -> bool:
    """Whether it is a JPEG of the colours that most have."""
    try:
        return simplejpeg.decode_jpeg_header(data)[2] in PLAIN_COLOURS
    except ValueError:
        return False


def has_unusual_segment(data: bytes) -> bool:
    """Whether a segment before the scan is for Pillow to read. Steps over them: a search would cost more."""
    at = 2
    while at + 4 < len(data) and data[at] == _MARKER and data[at + 1] != _START_OF_SCAN:
        if data.startswith(_UNUSUAL_SEGMENTS, at + 4):
            return True
        padded = data[at + 1] == _MARKER
        at += 1 if padded else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def image_of(pixels: Any) -> Image.Image:
    """The pixels as Pillow's, without a copy: its own layout is four bytes a pixel."""
    height, width, _ = pixels.shape
    return Image.frombuffer("RGBX", (width, height), pixels, "raw", "RGBX", 0, 1)


def scaled(width: int, height: int, longest: int) -> tuple[int, int]:
    """Width and height in the most eighths whose longer side is `longest` at most; in 1/8 where none is."""
    eighths = min(max(_SCALE * longest // max(width, height), 1), _SCALE)
    return -(-width * eighths // _SCALE), -(-height * eighths // _SCALE)
