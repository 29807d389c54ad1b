"""Metadata goes, the picture stays; what is damaged is refused in words."""

import io
import random
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import ExifTags, Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo
from visiontune_data import pictures
from visiontune_data.images import inspect
from visiontune_data.limits import Limits
from visiontune_data.stripping import NotRemovable, strip
from visiontune_data.treatment import Treatment

from tests.support.archives import encoded, jsonl, llava, picture, run, tar, texts

SECRET = b"Q7-secret"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf>' + SECRET + b"</rdf></x:xmpmeta>"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
STRIP = Treatment(strip_metadata=True)


def taken_at(orientation: int) -> Image.Exif:
    """The EXIF of a phone's picture: where it was taken, by what, and how it lies."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = SECRET.decode()
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 17.0)})
    return exif


def with_metadata(kind: str, orientation: int) -> bytes:
    """A picture with all the metadata that its format has room for."""
    image = Image.open(io.BytesIO(picture(3, "PNG", (90, 70))))
    exif = taken_at(orientation)
    if kind == "JPEG":
        plain = encoded(image, "JPEG", exif=exif, icc_profile=PROFILE, xmp=XMP, comment=SECRET)
        iptc = b"Photoshop 3.0\x008BIM\x04\x04" + SECRET
        return plain[:2] + b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc + plain[2:] + SECRET
    if kind == "WEBP":
        return encoded(image, "WEBP", exif=exif, icc_profile=PROFILE, xmp=XMP, lossless=True)
    notes = PngInfo()
    notes.add_text("Comment", SECRET.decode())
    notes.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return encoded(image, "PNG", exif=exif, icc_profile=PROFILE, pnginfo=notes) + SECRET


def stored(data: bytes) -> bytes:
    """What an import that strips would store of it."""
    inspection = inspect(data, "a", Limits(), STRIP)
    assert inspection.decoded, inspection.problems
    return inspection.decoded.stored


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_gps_xmp_iptc_and_comments_are_gone_and_the_picture_looks_the_same(
    kind: str, orientation: int
) -> None:
    data = with_metadata(kind, orientation)
    before = Image.open(io.BytesIO(data))
    assert before.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    assert SECRET in data
    made = stored(data)
    assert SECRET not in made
    after = Image.open(io.BytesIO(made))
    assert dict(after.getexif()) == ({} if orientation == 1 else {ExifTags.Base.Orientation: orientation})
    assert not after.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    assert "xmp" not in after.info
    assert after.info["icc_profile"] == PROFILE
    assert after.tobytes() == before.tobytes()
    assert ImageOps.exif_transpose(after).size == ((90, 70) if orientation == 1 else (70, 90))
    assert stored(made) == made


def test_an_orientation_that_xmp_alone_tells_stays() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
    lying = encoded(Image.open(io.BytesIO(picture(3, "PNG", (90, 70)))), "JPEG", xmp=xmp)
    assert pictures.read(lying).size == (70, 90)
    made = stored(lying)
    assert b"xmpmeta" not in made
    assert pictures.read(made).tobytes() == pictures.read(lying).tobytes()


@pytest.mark.parametrize("mode", ["L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_every_jpeg_keeps_its_colours(mode: str, *, progressive: bool) -> None:
    image = Image.open(io.BytesIO(picture(3))).convert(mode)
    data = encoded(image, "JPEG", progressive=progressive, comment=SECRET)
    after = Image.open(io.BytesIO(stored(data)))
    assert after.mode == mode
    assert after.tobytes() == Image.open(io.BytesIO(data)).tobytes()


def test_a_thumbnail_in_the_header_goes_too() -> None:
    plain = picture(3)
    assert plain[6:11] == b"JFIF\0"
    thumbnail = b"\x02\x01" + b"\xaa\xbb\xcc" * 2
    data = plain[:4] + struct.pack(">H", 16 + 6) + plain[6:18] + thumbnail + plain[20:]
    assert stored(data) == plain


@pytest.mark.parametrize("format_", ["GIF", "PNG", "WEBP"])
def test_animations_keep_their_frames(format_: str) -> None:
    frames = [Image.open(io.BytesIO(picture(n, "PNG"))) for n in range(3)]
    notes = {"comment": SECRET} if format_ == "GIF" else {"exif": taken_at(1)}
    data = encoded(frames[0], format_, save_all=True, append_images=frames[1:], loop=4, **notes)
    assert SECRET in data
    made = stored(data)
    assert SECRET not in made
    before, after = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(made))
    assert after.info["loop"] == before.info["loop"]
    for number in range(3):
        before.seek(number)
        after.seek(number)
        assert after.convert("RGB").tobytes() == before.convert("RGB").tobytes()


def test_what_has_no_metadata_stays_as_it_is() -> None:
    for format_ in ("JPEG", "PNG", "WEBP", "GIF", "BMP"):
        assert stored(picture(3, format_)) == picture(3, format_)


JPEG, PNG, WEBP, GIF = (picture(3, format_) for format_ in ("JPEG", "PNG", "WEBP", "GIF"))
SHORTEST_EXIF = b"Exif\0\0MM\0*" + struct.pack(">LHHHLHH", 8, 1, 0x0112, 3, 1, 6, 0)
DAMAGED: Mapping[str, tuple[str, bytes, str]] = {
    "tiff": ("TIFF", picture(3, "TIFF"), "TIFF files keep it among what describes the pixels"),
    "jpeg without end": ("JPEG", JPEG[:-2], "the JPEG file has no end marker"),
    "jpeg gap": ("JPEG", JPEG[:20] + b"??" + JPEG[20:], "segments of the JPEG file do not follow each other"),
    "jpeg cut segment": ("JPEG", JPEG[:40], "a segment of the JPEG file is longer than the file"),
    "jpeg cut length": ("JPEG", JPEG[:5], "the JPEG file ends before its last part"),
    "exif cut": (
        "JPEG",
        JPEG[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(SHORTEST_EXIF)) + SHORTEST_EXIF + JPEG[2:],
        "its EXIF data ends before it should",
    ),
    "png cut chunk": ("PNG", PNG[:-20], "a chunk of the PNG file is longer than the file"),
    "png without end": ("PNG", PNG[:-12], "the PNG file ends before its last part"),
    "webp cut": ("WEBP", WEBP[:-6], "a chunk of the WebP file is longer than the file"),
    "gif without end": ("GIF", GIF[:-1], "the GIF file ends before its last part"),
    "gif gap": ("GIF", GIF[:-1] + b"??;", "the blocks of the GIF file do not follow each other"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_what_cannot_be_stripped_is_refused(name: str) -> None:
    kind, data, message = DAMAGED[name]
    with pytest.raises(NotRemovable, match=message):
        strip(data, kind, 6 if name == "exif cut" else 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_any_damage_gives_a_problem_or_an_image_that_decodes_alike(kind: str) -> None:
    whole = GIF if kind == "GIF" else with_metadata(kind, 6)
    for seed in range(300):
        draw = random.Random(seed)
        data = bytearray(whole)
        for _ in range(draw.choice((1, 1, 3))):
            data[draw.randrange(len(data))] = draw.choice((0, 255, draw.randrange(256)))
        cut = bytes(data[: draw.choice((len(data), draw.randrange(len(data))))])
        found = inspect(cut, "a", Limits(), STRIP).decoded
        if found:
            again = inspect(found.stored, "a", Limits()).decoded
            assert again, f"seed {seed}"
            assert again.thumbnail == found.thumbnail, f"seed {seed}"


@pytest.mark.parametrize("processes", [0, 1])
def test_a_version_holds_what_was_stripped_and_says_what_it_saved(processes: int, tmp_path: Path) -> None:
    images = {f"{kind}.{kind.lower()}": with_metadata(kind, 6) for kind in ("JPEG", "PNG", "WEBP")}
    files = {"train.jsonl": jsonl(*(llava(name) for name in images)), **images}
    outcome = run(tar(files), tmp_path, treatment=STRIP, processes=processes)
    assert outcome.version
    stripped = {name: stored(data) for name, data in images.items()}
    same = run(tar({**files, **stripped}), tmp_path).version
    assert same
    assert outcome.version.digest == same.digest
    assert outcome.version.manifest_sha256 == same.manifest_sha256
    assert outcome.report.saved_bytes == sum(len(images[name]) - len(stripped[name]) for name in images) > 0
    whole = run(tar(files), tmp_path)
    assert whole.version
    assert whole.version.digest != same.digest
    assert whole.report.saved_bytes == 0


def test_an_image_that_keeps_its_metadata_takes_its_record_along(tmp_path: Path) -> None:
    files = {"train.jsonl": jsonl(llava("a.tif"), llava("b.jpg")), "a.tif": picture(1, "TIFF"), "b.jpg": JPEG}
    outcome = run(tar(files), tmp_path, treatment=STRIP, skip_errors=True)
    [text] = texts(outcome.report, "image-metadata-kept")
    assert text == (
        "digits.tar › a.tif: the metadata cannot be removed: TIFF files keep it among what describes the "
        "pixels. Convert it to JPEG or PNG."
    )
    assert outcome.report.example_count == 1
