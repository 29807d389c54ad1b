"""The picture that training reads is the one that was meant, whatever the file stores."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms
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


def kinds_of_pixels() -> dict[str, Image.Image]:
    """Small pictures as Pillow loads them, whose colours are reached by different ways."""
    colours = Image.open(io.BytesIO(picture(3, "PNG", (53, 47))))
    clear = colours.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size).point(lambda value: max(0, value - 99)))
    palette = colours.quantize(16)
    palette.info["transparency"] = 3
    profiled = colours.copy()
    profiled.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    deep = Image.fromarray(np.arange(53 * 47, dtype=np.uint16).reshape(47, 53) * 26)
    return {
        **{mode: colours.convert(mode) for mode in ("RGB", "L", "1", "CMYK")},
        "RGBA": clear,
        "LA": clear.convert("LA"),
        "P": palette,
        "ICC": profiled,
        "I;16": deep,
    }


@pytest.mark.parametrize("kind", kinds_of_pixels())
@pytest.mark.parametrize("reduced_by", [1, 2, 5])
def test_strips_of_a_large_picture_make_the_whole(
    kind: str, reduced_by: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = kinds_of_pixels()[kind]
    whole, clear = pictures.to_rgb(image)
    monkeypatch.setattr("visiontune_data.pictures._STRIP_PIXELS", 53 * 12)
    by_strips, also_clear = pictures.to_rgb(image, reduced_by)
    assert by_strips.tobytes() == (whole.reduce(reduced_by) if reduced_by > 1 else whole).tobytes()
    assert (by_strips.size, also_clear) == ((-(-53 // reduced_by), -(-47 // reduced_by)), clear)
    assert (clear > 0) == (kind in {"RGBA", "LA", "P"})


@pytest.mark.parametrize("data", [picture(3, size=(320, 240))[:900], b"", b"text"])
def test_what_cannot_be_decoded_raises(data: bytes) -> None:
    with pytest.raises((OSError, ValueError)):
        pictures.read(data)
