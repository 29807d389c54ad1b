"""Pictures from the bytes that a dataset holds, and to bytes for people to look at."""

import io

from PIL import Image

_QUALITY = 90


def decode(data: bytes) -> Image.Image:
    """The picture as models take it: RGB. Raises OSError for what Pillow cannot decode."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def encode(picture: Image.Image) -> bytes:
    """A JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
