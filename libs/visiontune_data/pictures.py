"""The picture that an image file means: upright, 8 bits a sample, transparency on white, RGB."""

import io
import warnings
from contextlib import suppress
from typing import Final

import numpy as np
import simplejpeg
from PIL import Image
from PIL.Image import Transpose

from visiontune_data import jpeg

ORIENTATION_TAG: Final = 0x0112
_QUALITY: Final = 90
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
    if jpeg.is_plain(data):
        with suppress(ValueError):  # a damage that Pillow tolerates, or has the words for
            return Image.fromarray(simplejpeg.decode_jpeg(data, "RGB"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return upright(to_rgb(image)[0], image.getexif().get(ORIENTATION_TAG, 1))


def encode(picture: Image.Image) -> bytes:
    """A JPEG for people to look at."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def upright(image: Image.Image, orientation: object) -> Image.Image:
    """The image as its EXIF orientation wants it shown; as it is where that is none of 2 to 8."""
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def to_rgb(image: Image.Image) -> tuple[Image.Image, float]:
    """What a viewer would show, 16 bit scaled, transparency on white; and the share that is quite clear."""
    if image.mode.startswith("I"):
        samples = np.asarray(image).astype(np.int64)
        return Image.fromarray((np.clip(samples, 0, 65535) // 257).astype(np.uint8)).convert("RGB"), 0.0
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB"), 0.0
    rgba = image.convert("RGBA")
    alpha = np.asarray(rgba.getchannel("A"))
    clear_share = np.count_nonzero(alpha == 0) / alpha.size
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB"), clear_share
