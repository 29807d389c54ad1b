"""What the header of an opened image says beside its pixels: orientation, profile, frames."""

from typing import Any

from PIL import Image

from visiontune_data import pictures, profiles
from visiontune_data.text import shorten


def warn_about(image: Image.Image, warn: Any) -> None:
    """Warns about frames beyond the first, and about the colour profile."""
    if (frames := getattr(image, "n_frames", 1)) > 1:
        warn("image-animated", f"the image has {frames} frames; the first is used", str(frames))
        image.seek(0)
    _check_profile(image, warn)


def orientation(image: Image.Image, warn: Any) -> int:
    """The EXIF orientation, 1 to 8; 1 with a warning where it cannot be read."""
    try:
        value = image.getexif().get(pictures.ORIENTATION_TAG, 1)
    except Exception as error:  # noqa: BLE001 (a damaged IFD raises struct.error, SyntaxError, …)
        warn("image-exif-invalid", f"the EXIF data cannot be read ({shorten(str(error))})")
        return 1
    if isinstance(value, int) and 1 <= value <= 8:
        return value
    warn(
        "image-exif-invalid",
        f"the EXIF orientation is {shorten(str(value))}, not 1 to 8",
        shorten(str(value)),
    )
    return 1


def _check_profile(image: Image.Image, warn: Any) -> None:
    profile = image.info.get("icc_profile")
    if not profile:
        return
    found, expected = profiles.read(profile), profiles.space_of(image.mode)
    if found is None:
        warn("image-icc-invalid", f"the colour profile of {len(profile):,} bytes cannot be read")
    elif found.space != expected:
        warn(
            "image-icc-invalid",
            f"the colour profile is for {shorten(found.space)}, the image is {expected}",
            shorten(found.space),
        )
