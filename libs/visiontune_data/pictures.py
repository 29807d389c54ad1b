"""The picture that an image file means: upright, 8 bits a sample, transparency on white, sRGB."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import numpy as np
import pyarrow as pa
import simplejpeg
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Transpose

from visiontune_data import jpeg, profiles

ORIENTATION_TAG: Final = 0x0112
_QUALITY: Final = 90
_STRIP_PIXELS: Final = 1_000_000
_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


def read(data: bytes) -> Image.Image:
    """The picture in the bytes of an image file. Raises ValueError or OSError when it cannot be decoded."""
    if picture := _read_jpeg(data):
        return picture
    with _opened(data) as image:
        image.load()
        return upright(to_rgb(image)[0], _orientation(image))


def _read_jpeg(data: bytes) -> Image.Image | None:
    """As `read`, by a decoder that takes two thirds of Pillow's time; None where it is not for it."""
    with suppress(ValueError, OSError):  # a damage that Pillow tolerates, or has the words for
        if not jpeg.is_plain(data):
            return None
        picture = _as_decoded(simplejpeg.decode_jpeg(data, "RGBX"))
        if not jpeg.has_unusual_segment(data):
            return picture
        with _opened(data) as header:
            profile = profiles.fitting(header)
            return upright(profile.to_srgb(picture) if profile else picture, _orientation(header))
    return None


def _as_decoded(pixels: NDArray[np.uint8]) -> Image.Image:
    """A picture of pixels [height, width, 4] without a copy, since Pillow holds colours like that too."""
    height, width, _ = pixels.shape
    rows = pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), 4)
    return Image.fromarrow(rows, "RGB", (width, height))


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data)) as image:
            yield image


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001 (a damaged IFD raises struct.error, SyntaxError, …; an import has warned)
        return 1


def encode(picture: Image.Image) -> bytes:
    """A JPEG for people to look at."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def upright(image: Image.Image, orientation: object) -> Image.Image:
    """The image as its EXIF orientation wants it shown; as it is where that is none of 2 to 8."""
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def to_rgb(image: Image.Image, reduced_by: int = 1) -> tuple[Image.Image, float]:
    """What a viewer would show, transparency on white, reduced by a whole factor; and how much is clear.

    That is the share of pixels that are quite clear. Large pictures go through by strips, so that they take
    little memory beside their own.
    """
    rows = max(1, _STRIP_PIXELS // (image.width * reduced_by)) * reduced_by
    if rows >= image.height:
        rgb, clear = _to_rgb(image)
        return rgb.reduce(reduced_by) if reduced_by > 1 else rgb, clear / (image.width * image.height)
    size = (-(-image.width // reduced_by), -(-image.height // reduced_by))
    whole, all_clear = Image.new("RGB", size), 0
    for top in range(0, image.height, rows):
        rgb, clear = _to_rgb(image.crop((0, top, image.width, min(top + rows, image.height))))
        whole.paste(rgb.reduce(reduced_by) if reduced_by > 1 else rgb, (0, top // reduced_by))
        all_clear += clear
    return whole, all_clear / (image.width * image.height)


def _to_rgb(image: Image.Image) -> tuple[Image.Image, int]:
    """The same at full size, and how many pixels are quite clear."""
    if not is_transparent(image):
        return in_srgb(image), 0
    rgba = in_srgb(image, keep_alpha=True)
    clear = int(np.count_nonzero(np.asarray(rgba.getchannel("A")) == 0))
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB"), clear


def in_srgb(image: Image.Image, *, keep_alpha: bool = False) -> Image.Image:
    """RGB, or RGBA, of 8 bits a sample: 16 bit scaled, and an embedded profile applied that is not sRGB.

    A profile that cannot be read, or is of other colours than the image, counts as none.
    """
    profile = profiles.fitting(image)
    if image.mode.startswith("I"):
        samples = np.asarray(image).astype(np.int64)
        image = Image.fromarray((np.clip(samples, 0, 65535) // 257).astype(np.uint8))
    if profile is None:
        return image.convert("RGBA" if keep_alpha else "RGB")
    picture = profile.to_srgb(image)
    if keep_alpha:
        picture.putalpha(image.convert("RGBA").getchannel("A"))
    return picture


def is_transparent(image: Image.Image) -> bool:
    """Whether it can be, by what it holds; of 16 bit grey nothing is."""
    return not image.mode.startswith("I") and ("A" in image.getbands() or "transparency" in image.info)
