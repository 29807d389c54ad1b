"""Training, thumbnails and statistics see the colours that an embedded profile means, as sRGB."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from visiontune_data import pictures, profiles
from visiontune_data.images import inspect
from visiontune_data.limits import Limits

from tests.support.archives import encoded, picture
from tests.support.profiles import P3, SRGB, display_p3, grey, inks, palette_of

COLOURS = ((200, 100, 50), (30, 160, 60), (90, 90, 200), (128, 128, 128), (250, 20, 20), (255, 255, 255))
# Of sRGB's primaries, adapted to D50 as P3's are.
_SRGB_XYZ = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141))
MIXED = 6  # of 255: what JPEG and WebP make of flat colours


def expected(colours: Any) -> Any:
    """What colours of Display P3 are in sRGB: linear light, through XYZ, cut to what sRGB can show."""
    encoded_ = np.asarray(colours) / 255
    linear = np.where(encoded_ <= 0.04045, encoded_ / 12.92, ((encoded_ + 0.055) / 1.055) ** 2.4)
    light = np.clip(linear @ np.array(P3) @ np.linalg.inv(np.array(_SRGB_XYZ)), 0, 1)
    return 255 * np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def colours_in(image: Image.Image) -> Any:
    """The middle of each field of `palette_of`, whatever the picture's size."""
    side = image.height
    middles = [(side * place + side // 2, side // 2) for place in range(image.width // side)]
    return np.array([image.getpixel(middle) for middle in middles])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_wide_gamut_colours_are_seen_as_srgb(kind: str) -> None:
    options: dict[str, Any] = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}
    data = encoded(palette_of(*COLOURS), kind, icc_profile=display_p3(), **options.get(kind, {}))
    seen = pictures.read(data)
    assert np.abs(colours_in(seen) - expected(COLOURS)).max() <= MIXED
    assert np.abs(expected(COLOURS) - COLOURS).max() > 4 * MIXED  # or this would show nothing
    found = inspect(data, f"a.{kind.lower()}", Limits())
    assert not found.problems
    assert found.decoded
    assert found.decoded.stored is data  # with its profile
    thumbnail = Image.open(io.BytesIO(found.decoded.thumbnail.data))
    assert np.abs(colours_in(thumbnail) - expected(COLOURS)).max() <= 2 * MIXED
    assert found.decoded.brightness == round(np.asarray(thumbnail.convert("L"), float).mean())


def test_what_is_transparent_keeps_its_alpha_and_is_on_white() -> None:
    image = palette_of((250, 20, 20), (30, 160, 60)).convert("RGBA")
    image.putalpha(Image.new("L", image.size, 255))
    image.paste((30, 160, 60, 0), (32, 0, 64, 32))
    data = encoded(image, "PNG", icc_profile=display_p3())
    assert np.abs(colours_in(pictures.read(data)) - [*expected([(250, 20, 20)]), (255, 255, 255)]).max() <= 1
    opened = Image.open(io.BytesIO(data))
    assert pictures.in_srgb(opened, keep_alpha=True).getchannel("A").getextrema() == (0, 255)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_profile_of_grey_is_applied_to_grey(kind: str) -> None:
    data = encoded(palette_of((64,), (128,), (255,)), kind, icc_profile=grey(1.0))
    linear = np.array([64, 128, 255]) / 255
    srgb = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(colours_in(pictures.read(data)) - srgb[:, None]).max() <= 2
    assert not inspect(data, f"a.{kind.lower()}", Limits()).problems
    deep = Image.fromarray(np.full((32, 32), 128 * 257, np.uint16))
    assert pictures.read(encoded(deep, "PNG", icc_profile=grey(1.0))).getpixel((5, 5)) == (188, 188, 188)


def test_a_profile_of_inks_is_applied_to_cmyk() -> None:
    data = encoded(palette_of((0, 0, 0, 0), (255, 0, 0, 0)), "JPEG", icc_profile=inks())
    white, green = colours_in(pictures.read(data))
    assert white.min() > 245
    assert green[1] > 150
    assert max(green[0], green[2]) < 60
    found = inspect(data, "a.jpg", Limits()).decoded
    assert found
    seen = colours_in(Image.open(io.BytesIO(found.thumbnail.data)))
    assert np.abs(seen - [white, green]).max() <= 2 * MIXED


@pytest.mark.parametrize(
    ("mode", "profile"),
    [("RGB", SRGB), ("L", display_p3()), ("RGB", grey(1.0)), ("CMYK", SRGB), ("RGB", b"junk" * 20)],
    ids=["srgb", "rgb-on-grey", "grey-on-rgb", "rgb-on-cmyk", "junk"],
)
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_srgb_and_what_does_not_fit_change_nothing(mode: str, profile: bytes, kind: str) -> None:
    image = Image.open(io.BytesIO(picture(3, size=(90, 60)))).convert(mode)
    plain, profiled = encoded(image, kind), encoded(image, kind, icc_profile=profile)
    assert pictures.read(profiled).tobytes() == pictures.read(plain).tobytes()
    found, same = inspect(profiled, "a", Limits()), inspect(plain, "a", Limits())
    assert found.decoded
    assert same.decoded
    assert found.decoded.thumbnail == same.decoded.thumbnail
    assert {each.rule for each in found.problems} == (
        set() if (mode, profile) == ("RGB", SRGB) else {"image-icc-invalid"}
    )


def test_a_lying_picture_is_converted_and_turned() -> None:
    exif = Image.Exif()
    exif[pictures.ORIENTATION_TAG] = 6
    data = encoded(palette_of(*COLOURS), "PNG", icc_profile=display_p3(), exif=exif)
    as_jpeg = encoded(palette_of(*COLOURS), "JPEG", icc_profile=display_p3(), exif=exif, quality=98)
    assert pictures.read(as_jpeg).size == pictures.read(data).size
    seen = pictures.read(data)
    assert seen.size == (32, 32 * len(COLOURS))
    assert np.abs(colours_in(seen.rotate(90, expand=True)) - expected(COLOURS)).max() <= MIXED


def test_a_transform_is_made_once_for_a_profile() -> None:
    first = profiles.read(display_p3())
    assert first is profiles.read(display_p3())
    assert profiles.read(SRGB) == profiles.Profile("RGB", None)
