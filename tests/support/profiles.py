"""Colour profiles (ICC.1, version 2) of spaces that Pillow cannot make: Display P3, a grey gamma, inks."""

import itertools
import struct
from collections.abc import Iterable

from PIL import Image, ImageCms

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# Red, green and blue of Display P3 as XYZ, adapted to D50; its curve is that of sRGB.
P3 = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
_D50 = (0.9642, 1.0, 0.8249)


def display_p3() -> bytes:
    """sRGB's own profile with wider primaries, as cameras and phones write them."""
    data = bytearray(SRGB)
    count = struct.unpack_from(">I", data, 128)[0]
    for tag in range(count):
        name, offset, _ = struct.unpack_from(">4sII", data, 132 + 12 * tag)
        if name in {b"rXYZ", b"gXYZ", b"bXYZ"}:
            data[offset : offset + 20] = _xyz(P3[b"rgb".index(name[:1])])
    return bytes(data)


def grey(gamma: float) -> bytes:
    """Of images of one channel."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": _xyz(_D50), b"kTRC": curve})


def inks() -> bytes:
    """Of CMYK: white paper, black where that ink is, and the green of Lab(60, -80, 60) for the others."""
    straight = bytes(range(256))
    white, green, black = (255, 128, 128), (153, 48, 188), (0, 128, 128)
    corners = [
        black if inked[3] else green if any(inked) else white for inked in itertools.product((0, 1), repeat=4)
    ]
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + _fixed((1, 0, 0, 0, 1, 0, 0, 0, 1))
    table += straight * 4 + bytes(itertools.chain(*corners)) + straight * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": _xyz(_D50), b"A2B0": table})


def palette_of(*colours: tuple[int, ...]) -> Image.Image:
    """A picture of these colours, 32 pixels wide each, so that no codec mixes them much."""
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[len(colours[0])]
    image = Image.new(mode, (32 * len(colours), 32))
    for place, colour in enumerate(colours):
        image.paste(colour if mode != "L" else colour[0], (32 * place, 0, 32 * place + 32, 32))
    return image


def _xyz(values: Iterable[float]) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _fixed(values: Iterable[float]) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    directory, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        directory += struct.pack(">4sII", name, start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">II4s4s4s4s", start + len(body), 0, b"\x02\x40\0\0", kind, space, connection)
    head += bytes(12) + b"acsp" + bytes(28) + _fixed(_D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + directory + body
