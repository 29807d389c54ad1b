"""Images that cannot be used, or look wrong: one broken image takes only itself and its records along."""

import io
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from visiontune_data.images import inspect, inspect_all
from visiontune_data.limits import Limits

from tests.support.archives import PACKERS, encoded, good, jsonl, llava, picture, run, texts

SAVE = "Save the image again from its source, or import with --on-error skip."
CONVERT = "Convert it to JPEG or PNG."
READ = "JPEG, PNG, WebP, GIF, BMP and TIFF are read"
NOT_MEANT = "Replace it by the image, or import with --on-error skip."


def lines(data: bytes, path: str = "a.png", limits: Limits | None = None) -> list[str]:
    """The problems of one image."""
    inspection = inspect(data, path, limits or Limits())
    assert (inspection.decoded is None) == any(p.severity.name == "ERROR" for p in inspection.problems)
    return [problem.text("d.zip") for problem in inspection.problems]


def rules(data: bytes, path: str = "a.png") -> list[str]:
    """The rules that one image breaks."""
    return [problem.rule for problem in inspect(data, path, Limits()).problems]


def png_header(width: int, height: int, bits: int = 8, colour: int = 2) -> bytes:
    """A PNG that promises a size and holds nothing."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))
        for kind, body in (
            (b"IHDR", struct.pack(">2L5B", width, height, bits, colour, 0, 0, 0)),
            (b"IDAT", zlib.compress(b"")),
            (b"IEND", b""),
        )
    )


def noise(mode: str, size: tuple[int, int] = (40, 36)) -> Image.Image:
    """A picture in which no two neighbours are alike."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    shape = (size[1], size[0], bands) if bands > 1 else (size[1], size[0])
    return Image.frombytes(mode, size, np.random.default_rng(1).integers(0, 255, shape, np.uint8).tobytes())


JPEG = picture(3, size=(320, 240))
PNG = encoded(noise("RGB"), "PNG")


def test_images_side_by_side_are_each_as_alone() -> None:
    wide = encoded(noise("RGB", (600, 36)), "TIFF")
    files = [(JPEG, "1.jpg"), (JPEG[:900], "2.jpg"), (PNG, "3.jpg"), (b"", "4.png"), (wide, "5.tif")]
    assert inspect_all(files, Limits()) == [inspect(data, path, Limits()) for data, path in files]
    assert inspect_all([], Limits()) == []


def test_an_empty_file() -> None:
    assert lines(b"") == [f"d.zip › a.png: the file has 0 bytes. {SAVE}"]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"<!doctype html><html>", "HTML or XML"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\0\0\0\x18ftypmp42", "a video (MP4)"),
        (b'{"error": "not found"}', "JSON"),
        (b"PK\x03\x04rest", "a zip archive"),
        (b"nothing known", "of an unknown kind"),
    ],
)
def test_a_file_that_is_no_image_says_what_it_is(data: bytes, what: str) -> None:
    assert lines(data) == [f"d.zip › a.png: the file is {what}, not an image. {NOT_MEANT}"]


def test_a_git_lfs_pointer_says_how_to_get_the_image() -> None:
    assert lines(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n") == [
        (
            "d.zip › a.png: the file is a Git LFS pointer, not an image. "
            'Run "git lfs pull" and pack the archive again.'
        )
    ]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b'<?xml version="1.0"?><svg xmlns="x"/>', "an SVG drawing"),
        (b"\0\0\0\x18ftypheic", "a HEIC image"),
        (b"\0\0\0\x18ftypavif", "an AVIF image"),
        (b"\0\0\0\x0cjP  \r\n", "a JPEG 2000 image"),
        (encoded(noise("RGB"), "ICO"), "an ICO icon"),
        (encoded(noise("RGB"), "EPS"), "an EPS drawing"),
    ],
)
def test_an_image_of_a_kind_that_is_not_read_is_named(data: bytes, what: str) -> None:
    assert lines(data) == [f"d.zip › a.png: the file is {what}; {READ}. {CONVERT}"]


@pytest.mark.parametrize("cut", [len(JPEG) // 2, len(JPEG) - 2])
def test_a_jpeg_cut_anywhere_is_truncated(cut: int) -> None:
    assert lines(JPEG[:cut], "a.jpg") == [f"d.zip › a.jpg: the JPEG data ends too early. {SAVE}"]


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "BMP", "WEBP", "GIF"])
def test_every_kind_cut_in_half_is_truncated_or_corrupt(format_: str) -> None:
    data = picture(3, format_, (320, 240))
    (rule,) = rules(data[: len(data) // 2], f"a.{format_.lower()}")
    assert rule in {"image-truncated", "image-corrupt"}


def test_a_png_without_its_end_is_not_whole() -> None:
    assert rules(PNG[:-12])[-1] in {"image-truncated", "image-corrupt"}


def test_a_png_whose_data_fails_its_checksum_is_corrupt() -> None:
    data = bytearray(PNG)
    data[data.index(b"IDAT") + 20] ^= 0xFF
    (line,) = lines(bytes(data))
    assert line.startswith("d.zip › a.png: the PNG data cannot be decoded (")
    assert line.endswith(f"). {SAVE}")


def test_a_jpeg_with_bytes_overwritten_throughout_is_corrupt_or_truncated() -> None:
    data = bytearray(JPEG)
    for at in range(700, len(data), 97):
        data[at] = 0xFF
    assert rules(bytes(data), "a.jpg")[-1] in {"image-corrupt", "image-truncated"}


@pytest.mark.parametrize("progressive", [False, True])
def test_decoding_at_a_small_size_finds_what_decoding_whole_finds(*, progressive: bool) -> None:
    """The same complaint, or none, for each of many damages: all are met before the pixels are made."""
    whole = encoded(noise("RGB", (640, 480)).resize((512, 384)), "JPEG", progressive=progressive)
    draw = np.random.default_rng(7)
    complaints = set()
    for _ in range(150):
        data = bytearray(whole)
        for at in draw.integers(600, len(data), int(draw.integers(1, 6))):
            data[at] = int(draw.integers(0, 256))
        damaged = bytes(data[: len(data) - int(draw.integers(0, 3)) * 100])
        found = [_complaint(damaged, size) for size in ((512, 384), (256, 192), (64, 48))]
        assert found[0] == found[1] == found[2]
        complaints.add(found[0].split(":")[0])
    assert len(complaints) > 2


def _complaint(data: bytes, size: tuple[int, int]) -> str:
    try:
        simplejpeg.decode_jpeg(data, "RGBX", min_width=size[0], min_height=size[1])
    except ValueError as error:
        return str(error)
    return ""


def test_three_changed_bytes_in_a_jpeg_are_not_promised_to_be_seen() -> None:
    data = bytearray(JPEG)
    for at in (2000, 2500, 3000):
        data[at % len(data)] ^= 0x10
    inspect(bytes(data), "a.jpg", Limits())  # does not raise, whatever it finds


def test_a_png_named_jpg_is_a_warning() -> None:
    assert lines(PNG, "a.jpg") == [
        "d.zip › a.jpg: the file is PNG by its bytes, JPEG by its name. Rename the file."
    ]


@pytest.mark.parametrize(
    ("side", "said"),
    [
        (10_000, "10,000 x 10,000 pixels; at most 64,000,000 are decoded"),
        (65_500, "more pixels than the 64,000,000 that are decoded"),
    ],
)
def test_a_header_that_promises_too_many_pixels_is_not_believed(side: int, said: str) -> None:
    assert lines(png_header(side, side)) == [f"d.zip › a.png: {said}. Scale it down."]


def test_an_image_of_floating_point_numbers_is_refused() -> None:
    data = encoded(Image.fromarray(np.random.default_rng(0).random((40, 40), np.float32)), "TIFF")
    assert lines(data, "a.tif") == [
        ("d.zip › a.tif: the samples are floating point numbers. Save it with 8 or 16 bits a sample.")
    ]


@pytest.mark.parametrize(("width", "height"), [(1, 1), (20_000, 8), (7, 100)])
def test_sides_out_of_bounds(width: int, height: int) -> None:
    data = encoded(Image.new("1", (width, height)), "PNG")
    assert lines(data) == [
        (
            f"d.zip › a.png: {width:,} x {height:,} pixels; sides of 8 to 16,384 are accepted. "
            "Scale it, or leave it out."
        )
    ]


@pytest.mark.parametrize("kind", PACKERS)
def test_an_image_file_larger_than_the_limit(kind: str, tmp_path: Path) -> None:
    data = PACKERS[kind](good(1))
    outcome = run(data, tmp_path, f"d.{kind}", limits=Limits(image_bytes=100))
    assert outcome.version is None
    size = len(picture())
    assert texts(outcome.report, "image-bytes") == [
        (
            f"d.{kind} › img/0000.jpg: the file has {size:,} bytes; at most 100 are read. "
            "Scale it down or compress it more."
        )
    ]
    assert lines(picture(), "b.jpg", Limits(image_bytes=100)) == [
        (
            f"d.zip › b.jpg: the file has {size:,} bytes; at most 100 are read. "
            "Scale it down or compress it more."
        )
    ]


def test_texts_that_decompress_to_much_are_refused() -> None:
    info = PngInfo()
    info.add_text("comment", "x" * 2 * 1024**2, zip=True)
    (line,) = lines(encoded(noise("RGB"), "PNG", pnginfo=info))
    assert line.startswith("d.zip › a.png: the metadata is too large (")
    assert line.endswith(". Save it without metadata.")


# Read, with or without a warning


@pytest.mark.parametrize(
    ("format_", "suffix"), [("GIF", "gif"), ("WEBP", "webp"), ("PNG", "png"), ("TIFF", "tif")]
)
def test_of_several_frames_the_first_is_used(format_: str, suffix: str) -> None:
    frames = [Image.fromarray(np.roll(np.asarray(noise("RGB")), n, 0)) for n in range(3)]
    data = encoded(frames[0], format_, save_all=True, append_images=frames[1:])
    assert lines(data, f"a.{suffix}") == [
        (
            f"d.zip › a.{suffix}: the image has 3 frames; the first is used. "
            "Nothing, if the first frame is meant."
        )
    ]


def test_16_bit_samples_are_scaled_and_not_clipped() -> None:
    wide = Image.fromarray(np.full((40, 40), 300, np.uint16))
    inspection = inspect(encoded(wide, "PNG"), "a.png", Limits())
    assert inspection.decoded
    shown = np.asarray(Image.open(io.BytesIO(inspection.decoded.thumbnail.data)))
    assert shown.max() <= 3


def test_cmyk_is_read() -> None:
    assert rules(encoded(noise("CMYK"), "JPEG"), "a.jpg") == []


def test_what_is_transparent_is_shown_on_white_and_almost_nothing_is_a_warning() -> None:
    clear = np.zeros((40, 40, 4), np.uint8)
    clear[0, :8] = (255, 0, 0, 255)
    inspection = inspect(encoded(Image.fromarray(clear), "PNG"), "a.png", Limits())
    assert [p.rule for p in inspection.problems] == ["image-alpha"]
    assert inspection.problems[0].message == "more than 99% of the image is transparent"
    assert inspection.decoded
    shown = np.asarray(Image.open(io.BytesIO(inspection.decoded.thumbnail.data)))
    assert shown[30, 30].min() > 250


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_width_and_height_are_those_after_orientation(orientation: int, format_: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    inspection = inspect(encoded(noise("RGB", (64, 40)), format_, exif=exif), f"a.{format_}", Limits())
    decoded = inspection.decoded
    assert decoded
    assert inspection.problems == ()
    assert (decoded.width_px, decoded.height_px) == ((64, 40) if orientation < 5 else (40, 64))
    thumbnail = decoded.thumbnail
    assert (thumbnail.width_px, thumbnail.height_px) == (decoded.width_px, decoded.height_px)


def test_the_orientation_is_found_behind_a_long_comment() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = encoded(noise("RGB", (64, 40)), "JPEG", exif=exif)
    # 65 kB in a segment that holds what begins a scan, then a marker that is padded.
    comment = b"\xff\xfe\xff\xff" + b"\xff\xda".ljust(65_533) + b"\xff"
    decoded = inspect(plain[:2] + comment + plain[2:], "a.jpg", Limits()).decoded
    assert decoded
    assert (decoded.width_px, decoded.height_px) == (40, 64)


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_out_of_range_is_ignored_with_a_warning(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert lines(encoded(noise("RGB"), "JPEG", exif=exif), "a.jpg") == [
        (f"d.zip › a.jpg: the EXIF orientation is {orientation}, not 1 to 8. Save it without EXIF.")
    ]


def test_a_broken_exif_block_is_no_error() -> None:
    found = rules(encoded(noise("RGB"), "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff\0\0"), "a.jpg")
    assert set(found) <= {"image-exif-invalid"}


def test_a_colour_profile_of_junk_is_ignored_with_a_warning() -> None:
    assert lines(encoded(noise("RGB"), "JPEG", icc_profile=b"junk" * 20), "a.jpg") == [
        ("d.zip › a.jpg: the colour profile of 80 bytes cannot be read. Save it as sRGB.")
    ]


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((20, 20), ["20 x 20 pixels. Nothing, if it is meant."]),
        ((4000, 40), ["4000 x 40 pixels. Crop it."]),
    ],
)
def test_odd_sizes_are_warnings(size: tuple[int, int], said: list[str]) -> None:
    assert lines(encoded(noise("RGB", size), "PNG")) == [f"d.zip › a.png: {text}" for text in said]


def test_one_colour_is_a_warning() -> None:
    assert lines(encoded(Image.new("RGB", (40, 40), "#ff8000"), "PNG")) == [
        "d.zip › a.png: every pixel is #ff8000. Check that it is not empty."
    ]


# What a broken image takes along


def archive_with(files: Mapping[str, bytes]) -> Mapping[str, Any]:
    """Three records of which the last names these files."""
    return {"train.jsonl": jsonl(llava("a.jpg"), llava("b.jpg"), *map(llava, files)), "a.jpg": picture(1)} | {
        "b.jpg": picture(2),
        **files,
    }


@pytest.mark.parametrize("kind", PACKERS)
def test_a_truncated_image_stops_the_import(kind: str, tmp_path: Path) -> None:
    outcome = run(PACKERS[kind](archive_with({"c.jpg": JPEG[:900]})), tmp_path, f"d.{kind}")
    assert outcome.version is None
    assert texts(outcome.report) == [f"d.{kind} › c.jpg: the JPEG data ends too early. {SAVE}"]


@pytest.mark.parametrize("kind", PACKERS)
def test_a_truncated_image_leaves_its_records_out_when_errors_are_skipped(kind: str, tmp_path: Path) -> None:
    outcome = run(PACKERS[kind](archive_with({"c.jpg": JPEG[:900]})), tmp_path, f"d.{kind}", skip_errors=True)
    assert outcome.version
    assert (outcome.report.record_count, outcome.report.example_count, outcome.report.skipped_count) == (
        3,
        2,
        1,
    )
    assert outcome.report.error_count == 1


@pytest.mark.parametrize("kind", PACKERS)
def test_a_mislabelled_image_is_taken_with_a_warning(kind: str, tmp_path: Path) -> None:
    outcome = run(PACKERS[kind](archive_with({"c.jpg": PNG})), tmp_path, f"d.{kind}")
    assert outcome.version
    assert outcome.version.statistics.format_counts == {"JPEG": 2, "PNG": 1}
    assert texts(outcome.report) == [
        f"d.{kind} › c.jpg: the file is PNG by its bytes, JPEG by its name. Rename the file."
    ]


def test_too_many_images(tmp_path: Path) -> None:
    outcome = run(PACKERS["tar"](good(4)), tmp_path, limits=Limits(images=3))
    assert outcome.version is None
    assert texts(outcome.report) == [
        (
            "digits.tar: the archive has more than 3 images, the limit of one dataset. "
            "Split the data into several datasets, or ask the operator for more."
        )
    ]


def test_images_too_large_together(tmp_path: Path) -> None:
    outcome = run(PACKERS["tar"](good(1)), tmp_path, limits=Limits(image_bytes_per_example=10))
    assert outcome.version is None
    assert texts(outcome.report, "too-many-images") == [
        (
            f"digits.tar › train.jsonl:1: the images have {len(picture()):,} bytes together; "
            "at most 10 are accepted. Split it into several records."
        )
    ]
