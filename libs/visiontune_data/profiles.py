"""Colour profiles (ICC) that images embed: of what colours they are, and how these become sRGB."""

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from PIL import Image, ImageCms

_MODES: Final = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}
_SAME: Final = 2  # of 255: what rounding makes of a profile that is sRGB by another name
_CACHED_BYTES: Final = 1024 * 1024  # as large as profiles of presses are


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile that could be read. `transform` is None where nothing is to be or can be converted."""

    space: str  # as ICC calls it, such as RGB, GRAY or CMYK
    transform: ImageCms.ImageCmsTransform | None

    def to_srgb(self, picture: Image.Image) -> Image.Image:
        """The picture, of 8 bits a sample, as RGB; transparency is dropped."""
        if self.transform is None:
            return picture.convert("RGB")
        if picture.mode == "RGBX":  # knows no grey
            picture = picture.convert("RGB")
        done: Image.Image = self.transform.apply(picture.convert(_MODES[self.space]))
        return done


def space_of(mode: str) -> str:
    """What a profile of an image of Pillow's `mode` has to be of."""
    if mode in {"L", "LA", "1"} or mode.startswith("I"):
        return "GRAY"
    return "CMYK" if mode == "CMYK" else "RGB"


def fitting(image: Image.Image) -> Profile | None:
    """The image's own profile where it is to be applied: it can be read, is of these colours and not sRGB."""
    data = image.info.get("icc_profile")
    profile = read(data) if data else None
    return profile if profile and profile.transform and profile.space == space_of(image.mode) else None


def read(data: bytes) -> Profile | None:
    """The profile; None where it cannot be read."""
    return (_read if len(data) <= _CACHED_BYTES else _read.__wrapped__)(data)


# A dataset's images come from few cameras, and a transform takes longer to build than a picture to decode.
@lru_cache(maxsize=16)
def _read(data: bytes) -> Profile | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(data))
        space = source.profile.xcolor_space.strip()
        if space not in _MODES:
            return Profile(space, None)
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), _MODES[space], "RGB")
    except (OSError, ImageCms.PyCMSError, AttributeError, ValueError):
        return None
    return Profile(space, None if _is_srgb(space, transform) else transform)


def _is_srgb(space: str, transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether it changes none of a few hundred colours that are all over the space."""
    if space == "CMYK":
        return False
    steps = np.array(range(0, 256, 1 if space == "GRAY" else 51), np.uint8)
    spread = steps if space == "GRAY" else np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    colours = Image.fromarray(spread[None])
    seen = np.asarray(transform.apply(colours), int)
    return bool(np.abs(seen - np.asarray(colours.convert("RGB"), int)).max() <= _SAME)
