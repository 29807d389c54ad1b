"""Images are made smaller only where that is asked for, and only where it makes them smaller."""

import hashlib
import io
import random
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms
from visiontune_data.compression import Policy, Target, compress
from visiontune_data.exported import ExportedImage
from visiontune_data.images import inspect
from visiontune_data.limits import Limits
from visiontune_data.naming import ImageNames
from visiontune_data.treatment import AS_THEY_ARE, Treatment

from tests.support.archives import encoded, jsonl, llava, noise, picture, run, tar, texts

SMALLER = Policy(largest_side_px=60)
AS_JPEG, AS_WEBP = Policy(target=Target.JPEG), Policy(target=Target.WEBP)
SQUARE = Image.open(io.BytesIO(picture(3, "PNG", (120, 80))))


def opened(data: bytes, kind: str, policy: Policy, orientation: int = 1) -> Image.Image:
    """The picture that was made of a file."""
    made = compress(data, kind, orientation, policy)
    assert made
    assert len(made.data) < len(data)
    image = Image.open(io.BytesIO(made.data))
    assert (image.format, *image.size) == (made.format, made.width_px, made.height_px)
    assert not {"exif", "xmp", "icc_profile", "comment"} & image.info.keys()
    return image


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_longest_side_is_the_one_that_was_asked_for(kind: str) -> None:
    image = opened(picture(3, kind, (120, 80)), kind, SMALLER)
    assert (image.format, image.size) == (kind, (60, 40))
    wanted = np.asarray(SQUARE.resize((60, 40)), dtype=int)
    assert np.abs(np.asarray(image.convert("RGB"), dtype=int) - wanted).mean() < 4


def test_what_was_lying_stands() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    lying = encoded(SQUARE, "JPEG", exif=exif, quality=95)
    assert opened(lying, "JPEG", SMALLER, 6).size == (40, 60)
    found = inspect(lying, "a.jpg", Limits(), Treatment(policy=SMALLER)).decoded
    assert found
    assert (found.format, found.width_px, found.height_px) == ("JPEG", 40, 60)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("policy", [AS_JPEG, AS_WEBP, SMALLER])
def test_no_metadata_is_left(policy: Policy, mode: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "secret"
    data = encoded(
        SQUARE.convert(mode), "JPEG", quality=98, comment=b"secret", exif=exif, xmp=b"<x>secret</x>"
    )
    made = compress(data, "JPEG", 1, policy)
    assert made
    assert b"secret" not in made.data


@pytest.mark.parametrize("quality", [20, 95])
def test_the_quality_is_that_of_the_file(quality: int) -> None:
    made = compress(encoded(SQUARE, "BMP"), "BMP", 1, Policy(target=Target.JPEG, quality=quality))
    assert made
    assert made.data == encoded(SQUARE, "JPEG", quality=quality, optimize=True)


def test_transparency_is_white_in_jpeg_and_stays_in_others() -> None:
    clear = noise_of("RGBA")
    clear.putalpha(0)
    data = encoded(clear, "PNG")
    assert opened(data, "PNG", AS_JPEG).getpixel((9, 9)) == (255, 255, 255)
    assert opened(data, "PNG", AS_WEBP).mode == "RGBA"
    assert opened(data, "PNG", Policy(largest_side_px=20)).getchannel("A").getextrema() == (0, 0)


def noise_of(mode: str) -> Image.Image:
    """A picture that no format can pack."""
    return Image.fromarray(np.random.default_rng(1).integers(0, 255, (60, 60, len(mode)), np.uint8), mode)


def test_a_profile_is_converted_to_srgb_and_a_broken_one_dropped() -> None:
    red = Image.new("RGB", (64, 64), (255, 0, 0))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    for profile, colour in ((srgb, (255, 0, 0)), (swapped, (0, 0, 255)), (b"junk" * 20, (255, 0, 0))):
        data = encoded(red, "TIFF", icc_profile=profile)
        image = opened(data, "TIFF", Policy(target=Target.JPEG, quality=95))
        assert np.abs(np.asarray(image, dtype=int) - colour).max() < 12


@pytest.mark.parametrize("mode", ["L", "CMYK", "I;16", "P"])
def test_other_colours_are_written(mode: str) -> None:
    image = Image.fromarray(np.full((64, 64), 0x8000, np.uint16)) if mode == "I;16" else SQUARE.convert(mode)
    made = opened(encoded(image, "TIFF"), "TIFF", AS_JPEG)
    assert made.mode == ("L" if mode == "L" else "RGB")


def test_what_would_not_get_smaller_stays_as_it_is() -> None:
    for data, kind, policy in (
        (encoded(SQUARE, "JPEG", quality=30), "JPEG", Policy(quality=95)),
        (picture(3, "GIF", (120, 80)), "GIF", SMALLER),
        (encoded(SQUARE, "PNG", compress_level=0), "PNG", Policy(largest_side_px=120, quality=9)),
        (picture(3, "TIFF", (120, 80)), "TIFF", SMALLER),
        (encoded(SQUARE, "GIF", save_all=True, append_images=[SQUARE.rotate(9)]), "GIF", AS_WEBP),
        (b"\xff\xd8\xff", "JPEG", AS_WEBP),
    ):
        assert compress(data, kind, 1, policy) is None
    gif = picture(3, "GIF", (120, 80))
    found = inspect(gif, "a.gif", Limits(), Treatment(policy=SMALLER)).decoded
    assert found
    assert found.stored is gif


def test_damaged_files_end_as_an_image_or_as_a_problem() -> None:
    treatment = Treatment(strip_metadata=True, policy=Policy(largest_side_px=64, target=Target.WEBP))
    for seed in range(150):
        draw = random.Random(seed)
        data = bytearray(noise(1, (160, 120)))
        for _ in range(3):
            data[draw.randrange(len(data))] = draw.randrange(256)
        found = inspect(bytes(data), "a.jpg", Limits(), treatment).decoded
        if found:
            assert inspect(found.stored, "a", Limits()).decoded, f"seed {seed}"


@pytest.mark.parametrize("processes", [0, 1])
def test_the_same_policy_gives_the_same_version(processes: int, tmp_path: Path) -> None:
    images = {
        "a.png": encoded(noise_of("RGB"), "PNG"),
        "b.jpg": noise(2, (200, 100)),
        "c.gif": picture(4, "GIF"),
    }
    files = {"train.jsonl": jsonl(*map(llava, images)), **images}
    treatment = Treatment(policy=Policy(largest_side_px=100, target=Target.JPEG, quality=60))
    made = [run(tar(files), tmp_path, treatment=treatment, processes=processes) for _ in range(2)]
    assert [texts(each.report) for each in made] == [[], []]
    first, second = (each.version for each in made)
    assert first
    assert second
    assert (first.digest, first.manifest_sha256) == (second.digest, second.manifest_sha256)
    assert first.statistics.width_px.max == 100
    assert made[0].report.saved_bytes == sum(map(len, images.values())) - first.statistics.image_bytes > 0
    whole = run(tar(files), tmp_path).version
    assert whole
    assert whole.digest != first.digest


def test_a_treatment_survives_its_row() -> None:
    for treatment in (AS_THEY_ARE, Treatment(True), Treatment(policy=Policy(9, Target.WEBP, 3))):
        assert Treatment.of(asdict(treatment)) == treatment
    assert Treatment.of({}) == AS_THEY_ARE


def test_an_export_gives_an_image_the_suffix_of_what_it_became() -> None:
    names = ImageNames()
    for path, data, taken in (
        ("a.png", picture(1), "a.jpg"),
        ("b.jpeg", picture(2), "b.jpeg"),
        ("a.jpg", picture(3), f"a-{hashlib.sha256(picture(3)).hexdigest()[:8]}.jpg"),
    ):
        image = ExportedImage(data, path, hashlib.sha256(data).hexdigest())
        assert names.take(image, "") == (taken, True)
