"""Decodes one image fully: its facts, its thumbnail, and everything that is wrong with it.

The original bytes are what a version stores, unless the import is asked to change them; orientation, profile
and alpha are applied by readers (`pictures`), and here to the thumbnail alone.
"""

import hashlib
import io
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from visiontune_data import image_headers, image_kinds, jpeg, paths, perceptual, pictures, profiles
from visiontune_data.compression import Compressed
from visiontune_data.limits import Limits
from visiontune_data.profiles import Profile
from visiontune_data.report import Place, Problem
from visiontune_data.stripping import NotRemovable
from visiontune_data.text import shorten
from visiontune_data.treatment import AS_THEY_ARE, Treatment

THUMBNAIL_SIDE_PX: Final = 256
_THUMBNAIL_QUALITY: Final = 80
_SMALL_SIDE_PX: Final = 32
_EXTREME_ASPECT: Final = 20
_CLEAR_SHARE: Final = 0.99
_NEARLY_ONE_SHADE: Final = 6  # of 255: noise of a camera, or what JPEG adds
_FIRST_SIDEWAYS_ORIENTATION: Final = 5
# A JPEG whose decoder leaves over more than this share of its bytes has lost most of its picture; below
# it, the damage is a smear that every reader tolerates.
_EXTRANEOUS_SHARE: Final = 0.05
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes")
_METADATA_BOMB = re.compile(r"Decompressed data too large|Too much memory used in text chunks|MAX_TEXT")
_TRUNCATED = re.compile(r"truncated|premature end|could not create decoder object|not enough", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A JPEG of at most 256 px a side."""

    data: bytes
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """Facts of an image that decoded. Width and height are after EXIF orientation."""

    stored: bytes  # as they came, or as the treatment made them
    sha256: str  # of the stored bytes
    format: str
    width_px: int
    height_px: int
    thumbnail: Thumbnail
    brightness: int  # mean luma of the thumbnail, 0 to 255
    phash: int | None  # of the thumbnail; None for pictures too small or too plain to compare


@dataclass(frozen=True, slots=True)
class Inspection:
    """`decoded` is None exactly when one of the problems is an error."""

    decoded: Decoded | None
    problems: tuple[Problem, ...]


class _Broken(Exception):  # noqa: N818 (named for what happened)
    """The image cannot be used."""

    def __init__(self, rule: str, message: str, *, value: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.rule, self.message, self.value, self.remedy = rule, message, value, remedy


@dataclass(slots=True)
class _Picture:
    """The picture as stored, perhaps at a smaller size, and how to turn it upright."""

    image: Image.Image  # RGB, or RGBX: the same with a byte of padding
    width_px: int  # as stored, at full size
    height_px: int
    orientation: int = 1
    profile: Profile | None = None  # of its colours, where they are not converted yet
    pixels: Any = None  # uint8 [height, width, 4], those of `image` where it is a view of them


@dataclass(slots=True)
class _Seen:
    """An image that decoded, on its way to an inspection."""

    picture: _Picture  # reduced and upright
    kind: str
    stored: bytes | Compressed
    found: list[Problem]
    warn: Any


class _Look(NamedTuple):
    """What the brightness of a picture says."""

    mean: int
    spread: int  # from the darkest to the brightest
    phash: int


def inspect(data: bytes, path: str, limits: Limits, treatment: Treatment = AS_THEY_ARE) -> Inspection:
    """Decodes `data`, the bytes of the member `path`, and treats them. Never raises for bad data."""
    return inspect_all([(data, path)], limits, treatment)[0]


def inspect_all(
    files: Iterable[tuple[bytes, str]], limits: Limits, treatment: Treatment = AS_THEY_ARE
) -> list[Inspection]:
    """As `inspect`, of a few files side by side.

    Each step is done for all of them before the next: it finds its code in the processor's cache then, from
    which a picture would drive it, and that is a tenth of the time. Of each only a thumbnail is held.
    """
    seen = [_see(data, path, limits, treatment) for data, path in files]
    whole = [each for each in seen if isinstance(each, _Seen)]
    looks = _looks([perceptual.samples(each.picture.image) for each in whole])
    thumbnails = [_encoded(each.picture) for each in whole]
    decoded = map(_inspected, whole, looks, thumbnails)
    return [next(decoded) if isinstance(each, _Seen) else each for each in seen]


def _see(data: bytes, path: str, limits: Limits, treatment: Treatment) -> _Seen | Inspection:
    place = Place(path)
    found: list[Problem] = []

    def warn(rule: str, message: str, value: str = "") -> None:
        found.append(Problem(rule, place, message, value))

    try:
        kind = _kind(data, limits)
        claimed = image_kinds.SUFFIXES.get(paths.suffix(path))
        if claimed not in {None, kind}:
            warn("image-mislabelled", f"the file is {kind} by its bytes, {claimed} by its name", str(claimed))
        picture = _decode_jpeg(data, limits, warn) if kind == "JPEG" else _decode(data, kind, limits, warn)
        stored = treatment.apply(data, kind, picture.orientation)
    except NotRemovable as reason:
        found.append(Problem("image-metadata-kept", place, f"the metadata cannot be removed: {reason}"))
        return Inspection(None, tuple(found))
    except _Broken as broken:
        found.append(Problem(broken.rule, place, broken.message, broken.value, broken.remedy))
        return Inspection(None, tuple(found))
    _reduce(picture)
    return _Seen(picture, kind, stored, found, warn)


def _looks(samples: Sequence[NDArray[np.uint8]]) -> list[_Look]:
    """Of all at once, since each call costs more than its numbers do."""
    if not samples:
        return []
    stack = np.stack(samples)
    means = stack.mean(axis=(1, 2)).round().astype(int)
    spreads = np.ptp(stack, axis=(1, 2))
    hashes = perceptual.phashes(stack)
    return list(map(_Look, means.tolist(), spreads.tolist(), hashes))


def _inspected(seen: _Seen, look: _Look, thumbnail: Thumbnail) -> Inspection:
    picture, kind, made = seen.picture, seen.kind, seen.stored
    is_blank = _warn_about(picture, look, seen.warn)
    comparable = not is_blank and min(picture.image.size) >= perceptual.SHORTEST_SIDE_PX
    phash = look.phash if comparable else None
    width, height = picture.width_px, picture.height_px
    if picture.orientation >= _FIRST_SIDEWAYS_ORIENTATION:
        width, height = height, width
    if isinstance(made, Compressed):
        stored, kind, width, height = made.data, made.format, made.width_px, made.height_px
    else:
        stored = made
    digest = hashlib.sha256(stored).hexdigest()
    decoded = Decoded(stored, digest, kind, width, height, thumbnail, look.mean, phash)
    return Inspection(decoded, tuple(seen.found))


def pixel_count(data: bytes) -> int:
    """Pixels that the header promises; 0 where it cannot be read. Decodes nothing."""
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)  # ten times as fast as Pillow
        return int(width * height)
    except ValueError:
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            width, height = Image.open(io.BytesIO(data), formats=[*set(image_kinds.SUFFIXES.values())]).size
            return width * height
    except Exception:  # noqa: BLE001 (Pillow on damaged headers; inspect() says what is wrong)
        return 0


def too_large(path: str, size: int, limits: Limits) -> Problem:
    """The problem of an image file that is not even read."""
    return Problem(
        "image-bytes", Place(path), f"the file has {size:,} bytes; at most {limits.image_bytes:,} are read"
    )


def _kind(data: bytes, limits: Limits) -> str:
    if not data:
        raise _Broken("image-empty", "the file has 0 bytes")
    if len(data) > limits.image_bytes:
        raise _Broken(
            "image-bytes", f"the file has {len(data):,} bytes; at most {limits.image_bytes:,} are read"
        )
    if kind := image_kinds.read_kind(data):
        return kind
    if found := image_kinds.unsupported_kind(data):
        raise _Broken(
            "image-unsupported", f"the file is {found}; JPEG, PNG, WebP, GIF, BMP and TIFF are read"
        )
    found = image_kinds.other_kind(data)
    remedy = 'Run "git lfs pull" and pack the archive again.' if "LFS" in found else ""
    raise _Broken(
        "image-not-image", f"the file is {found}, not an image", value=shorten(repr(data[:16])), remedy=remedy
    )


def _check_size(width: int, height: int, limits: Limits) -> None:
    shortest, longest = min(width, height), max(width, height)
    if width * height > limits.image_pixels:
        raise _Broken(
            "image-bomb", f"{width:,} x {height:,} pixels; at most {limits.image_pixels:,} are decoded"
        )
    if shortest < limits.shortest_side_px or longest > limits.longest_side_px:
        sides = f"{limits.shortest_side_px:,} to {limits.longest_side_px:,}"
        raise _Broken("image-side", f"{width:,} x {height:,} pixels; sides of {sides} are accepted")


def _decode_jpeg(data: bytes, limits: Limits, warn: Any) -> _Picture:
    """The fast path, for the JPEGs that most datasets consist of; whatever is unusual goes to Pillow."""
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return _decode(data, "JPEG", limits, warn)
    _check_size(width, height, limits)
    pixels = _decode_strictly(data, space, jpeg.scaled(width, height, THUMBNAIL_SIDE_PX))
    if pixels is None or space not in jpeg.PLAIN_COLOURS:
        return _decode(data, "JPEG", limits, warn)
    header = _read_jpeg_header(data, warn) if jpeg.has_unusual_segment(data) else (1, None)
    return _Picture(jpeg.image_of(pixels), width, height, *header, pixels)


def _read_jpeg_header(data: bytes, warn: Any) -> tuple[int, Profile | None]:
    """Orientation and profile; warns about both, and about frames. Does not decode."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=["JPEG", "MPO"])
            image_headers.warn_about(image, warn)
            return image_headers.orientation(image, warn), profiles.fitting(image)
    except Exception as error:  # noqa: BLE001 (Pillow on a damaged header; the pixels did decode)
        warn("image-exif-invalid", f"the header cannot be read ({shorten(str(error))})")
        return 1, None


def _decode_strictly(data: bytes, space: str, size: tuple[int, int]) -> Any:
    """The pixels as RGBX at `size`; None where libjpeg complains of a damage that other readers tolerate.

    Each bit of the data is decoded, and that is where a JPEG can be broken; only the transform of the blocks
    to pixels, which cannot fail, makes no more pixels than a thumbnail needs.
    """
    colours = "CMYK" if space in {"CMYK", "YCCK"} else "RGBX"
    try:
        return simplejpeg.decode_jpeg(data, colours, min_width=size[0], min_height=size[1])
    except ValueError as error:
        message = str(error)
    if message.startswith("Premature end"):
        raise _Broken("image-truncated", "the JPEG data ends too early")
    extraneous = _EXTRANEOUS.search(message)
    if "premature end of data segment" in message or (
        extraneous and int(extraneous[1]) > _EXTRANEOUS_SHARE * len(data)
    ):
        raise _Broken(
            "image-corrupt", f"the JPEG data is corrupt ({message.removeprefix('Corrupt JPEG data: ')})"
        )
    return None


def _decode(data: bytes, kind: str, limits: Limits, warn: Any) -> _Picture:
    """Decodes with Pillow, which may raise nearly anything for damaged data."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decode_with_pillow(data, kind, limits, warn)
    except _Broken:
        raise
    except Image.DecompressionBombError as error:
        raise _Broken(
            "image-bomb", f"more pixels than the {limits.image_pixels:,} that are decoded"
        ) from error
    except MemoryError as error:
        raise _Broken("image-bomb", "decoding it needs more memory than there is") from error
    except Exception as error:
        reason = shorten(str(error).split("<_io")[0].strip())
        if _METADATA_BOMB.search(str(error)):
            raise _Broken("image-metadata-bomb", f"the metadata is too large ({reason})") from error
        if _TRUNCATED.search(str(error)):
            raise _Broken("image-truncated", f"the {kind} data ends too early ({reason})") from error
        raise _Broken("image-corrupt", f"the {kind} data cannot be decoded ({reason})") from error


def _decode_with_pillow(data: bytes, kind: str, limits: Limits, warn: Any) -> _Picture:
    image = Image.open(io.BytesIO(data), formats=[kind, "MPO"] if kind == "JPEG" else [kind])
    _check_size(*image.size, limits)
    if image.mode == "F":
        raise _Broken("image-float", "the samples are floating point numbers")
    image_headers.warn_about(image, warn)
    image.load()
    if kind == "PNG":
        Image.open(io.BytesIO(data), formats=[kind]).verify()  # load() does not miss an absent IEND chunk
    orientation = image_headers.orientation(image, warn)
    factor = max(1, max(image.size) // (2 * THUMBNAIL_SIDE_PX))
    rgb, clear_share = pictures.to_rgb(image, factor)
    if clear_share > _CLEAR_SHARE:
        warn("image-alpha", f"more than {_CLEAR_SHARE:.0%} of the image is transparent")
    return _Picture(rgb, *image.size, orientation)


def _warn_about(picture: _Picture, look: _Look, warn: Any) -> bool:
    """Warns about what is odd; says whether the picture is of one colour, or nearly."""
    shortest, longest = sorted((picture.width_px, picture.height_px))
    size = f"{picture.width_px} x {picture.height_px} pixels"
    if shortest < _SMALL_SIDE_PX:
        warn("image-small", size, size)
    if longest > _EXTREME_ASPECT * shortest:
        warn("aspect-extreme", size, size)
    # Nearly every picture shows in its brightness that it is not blank.
    if look.spread > _NEARLY_ONE_SHADE:
        return False
    colours = np.asarray(picture.image)[:, :, :3].reshape(-1, 3)
    low, high = colours.min(axis=0), colours.max(axis=0)
    if (spread := int((high - low).max())) > _NEARLY_ONE_SHADE:
        return False
    colour = "#" + bytes(np.median(colours, axis=0).astype(np.uint8)).hex()
    found = f"pixels differ by at most {spread} of 255 from each other, near" if spread else "every pixel is"
    warn("image-blank", f"{found} {colour}", colour)
    return True


def _reduce(picture: _Picture) -> None:
    """Makes the picture upright, and reduces it by the least whole factor that fits a thumbnail."""
    factor = -(-max(picture.image.size) // THUMBNAIL_SIDE_PX)
    image = picture.image.reduce(factor) if factor > 1 else picture.image
    if picture.profile:
        image = picture.profile.to_srgb(image)
    image = pictures.upright(image, picture.orientation)
    if image is not picture.image:
        picture.image, picture.pixels = image, None


def _encoded(picture: _Picture) -> Thumbnail:
    small = picture.image
    pixels = np.asarray(small) if picture.pixels is None else picture.pixels
    data = simplejpeg.encode_jpeg(
        pixels, _THUMBNAIL_QUALITY, colorspace=small.mode, colorsubsampling="420", fastdct=True
    )
    return Thumbnail(data, small.width, small.height)
