"""The paths of images in an archive: their own where that is possible, and never the same for two."""

import posixpath
from dataclasses import dataclass, field

from visiontune_data import image_kinds, paths
from visiontune_data.exported import ExportedImage

# Where images are put that were no members of an archive, so that their paths are not those of members.
EMBEDDED = "embedded"


@dataclass(slots=True)
class ImageNames:
    """Paths of images in an archive: the original one, unless another image has it or it is no path."""

    _digests: dict[str, str] = field(default_factory=dict)  # by path

    @property
    def count(self) -> int:
        """Paths taken."""
        return len(self._digests)

    def take(self, image: ExportedImage, folder: str) -> tuple[str, bool]:
        """The path of the image below `folder`, and whether the image is not there yet."""
        original = _path_of(image).removeprefix(f"{folder}/").removeprefix(f"{EMBEDDED}/")
        stem, suffix = posixpath.splitext(posixpath.join(folder, original))
        endings = ("", f"-{image.sha256[:8]}", f"-{image.sha256}")
        path = next(
            p for e in endings if self._digests.get(p := stem + e + suffix, image.sha256) == image.sha256
        )
        is_new = path not in self._digests
        self._digests[path] = image.sha256
        return path, is_new


def suffix_of(image: ExportedImage) -> str:
    """The suffix of a file with the image, without the dot."""
    return paths.suffix(_path_of(image))


def _path_of(image: ExportedImage) -> str:
    """The image's own path, or one of its digest where that is none that an import would take."""
    path = paths.normalise(image.path)
    is_path = not paths.is_url(image.path) and not paths.is_unsafe(image.path)
    claimed = image_kinds.SUFFIXES.get(paths.suffix(path)) if is_path else None
    kind = image_kinds.read_kind(image.data)
    if claimed and kind in {claimed, None}:
        return path
    suffix = next((suffix for suffix, of in image_kinds.SUFFIXES.items() if of == kind), "jpg")
    # An import may have made a JPEG of a PNG.
    return f"{posixpath.splitext(path)[0]}.{suffix}" if claimed else f"images/{image.sha256[:16]}.{suffix}"
