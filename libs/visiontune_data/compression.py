"""Makes images smaller, where an import asks for it: fewer pixels, another format, a lower quality."""

import io
import warnings
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from PIL import Image

from visiontune_data import pictures

DEFAULT_QUALITY: Final = 85
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "PNG": {"optimize": True},
    "JPEG": {"optimize": True},
    "WEBP": {},
}
_WITH_ALPHA: Final = frozenset({"PNG", "WEBP"})


class Target(StrEnum):
    """The format to store; KEEP is the one that an image has."""

    KEEP = "keep"
    JPEG = "jpeg"
    WEBP = "webp"


@dataclass(frozen=True, slots=True)
class Policy:
    """What images shall become. `largest_side_px` 0: as large as they are."""

    largest_side_px: int = 0
    target: Target = Target.KEEP
    quality: int = DEFAULT_QUALITY  # 1 to 100, of JPEG and WebP


@dataclass(frozen=True, slots=True)
class Compressed:
    """A new file; its picture is upright."""

    data: bytes
    format: str
    width_px: int
    height_px: int


def compress(data: bytes, kind: str, orientation: int, policy: Policy) -> Compressed | None:
    """The image as the policy wants it; None where it stays as it is.

    That is where the new file would not be smaller, where the image has several frames, or is of a format
    that is kept but not written (GIF, BMP, TIFF) or a PNG that is kept and not reduced, and where Pillow
    cannot read what is damaged in it.
    """
    wanted = kind if policy.target is Target.KEEP else policy.target.upper()
    if wanted not in _OPTIONS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = _compressed(data, kind, orientation, wanted, policy)
    except Exception:  # noqa: BLE001 (Pillow on damaged files; what is wrong with the image is told already)
        return None
    return made if made and len(made.data) < len(data) else None


def _compressed(data: bytes, kind: str, orientation: int, wanted: str, policy: Policy) -> Compressed | None:
    image = Image.open(io.BytesIO(data), formats=[kind])
    if getattr(image, "n_frames", 1) > 1:
        return None
    scale = policy.largest_side_px / max(image.size) if policy.largest_side_px else 1.0
    if scale >= 1 and wanted == kind == "PNG":
        return None  # has no quality
    picture = pictures.upright(_in_srgb(image, keep_alpha=wanted in _WITH_ALPHA), orientation)
    if scale < 1:
        width, height = (max(round(side * scale), 1) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    picture.info.clear()  # or Pillow would write the comment again
    buffer = io.BytesIO()
    quality = {} if wanted == "PNG" else {"quality": policy.quality}
    picture.save(buffer, wanted, **quality, **_OPTIONS[wanted])
    return Compressed(buffer.getvalue(), wanted, *picture.size)


def _in_srgb(image: Image.Image, *, keep_alpha: bool) -> Image.Image:
    """The picture with 8 bits a sample: grey, RGB, or RGBA where alpha is there and kept, else on white."""
    image.load()
    if image.mode == "L" and not pictures.is_transparent(image) and not image.info.get("icc_profile"):
        return image
    if keep_alpha and pictures.is_transparent(image):
        return pictures.in_srgb(image, keep_alpha=True)
    return pictures.to_rgb(image)[0]
