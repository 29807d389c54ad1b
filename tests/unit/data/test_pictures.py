"""The picture that training reads is the one that was meant, whatever the file stores."""

import io

import numpy as np
import pytest
from PIL import Image
from visiontune_data import pictures

from tests.support.archives import encoded, picture


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_plain_picture_is_the_one_that_pillow_reads(format_: str) -> None:
    data = picture(3, format_, (90, 70))
    assert pictures.read(data).tobytes() == Image.open(io.BytesIO(data)).convert("RGB").tobytes()


def test_a_picture_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.open(io.BytesIO(picture(3, "PNG", (90, 70))))
    for format_ in ("JPEG", "PNG"):
        assert pictures.read(encoded(lying, format_, exif=exif)).size == (70, 90)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_colours_become_rgb(mode: str) -> None:
    data = encoded(Image.open(io.BytesIO(picture(3))).convert(mode), "JPEG")
    assert pictures.read(data).tobytes() == Image.open(io.BytesIO(data)).convert("RGB").tobytes()


def test_16_bits_are_scaled_and_transparency_is_white() -> None:
    deep = encoded(Image.fromarray(np.full((40, 40), 0x8000, np.uint16)), "PNG")
    assert pictures.read(deep).getpixel((0, 0)) == (127, 127, 127)
    assert pictures.read(encoded(Image.new("RGBA", (40, 40), (9, 9, 9, 0)), "PNG")).getpixel((0, 0)) == (
        255,
        255,
        255,
    )


@pytest.mark.parametrize("data", [picture(3, size=(320, 240))[:900], b"", b"text"])
def test_what_cannot_be_decoded_raises(data: bytes) -> None:
    with pytest.raises((OSError, ValueError)):
        pictures.read(data)
