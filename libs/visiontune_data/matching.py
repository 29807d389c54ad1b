"""Finds the image that a record names, and says what is nearest when there is none."""

import difflib
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property

from visiontune_data import paths
from visiontune_data.example import ImageRef
from visiontune_data.formats import Notes
from visiontune_data.text import shorten

_NEAR_PATH = 0.8
_DIGITS = re.compile(r"\d+")


class ImageIndex:
    """The paths of an archive's images and other files."""

    def __init__(self, images: Iterable[str], others: Iterable[str]) -> None:
        self._images = set(images)
        self._others = frozenset(others)

    @cached_property
    def _loose(self) -> dict[str, list[str]]:
        by_loose = defaultdict(list)
        for path in sorted(self._images):
            by_loose[paths.loose(path)].append(path)
        return by_loose

    def find(self, ref: ImageRef, record_file: str, notes: Notes) -> str | None:
        """The path of the image, relative to the file of records or to a folder above it; notes why not."""
        shown = shorten(ref.path)
        if paths.is_url(ref.path):
            notes.add("image-url-refused", ref.json_path, f'"{shown}" is a URL', ref.path)
            return None
        if paths.is_unsafe(ref.path):
            notes.add(
                "image-path-unsafe", ref.json_path, f'the path "{shown}" leads out of the archive', ref.path
            )
            return None
        candidates = list(_candidates(ref.path, record_file))
        if exact := next((path for path in candidates if path in self._images), None):
            return exact
        if loose := self._find_loosely(candidates):
            notes.add(
                "image-name-differs", ref.json_path, f'"{shown}" was taken for "{shorten(loose)}"', ref.path
            )
            return loose
        if any(path in self._others for path in candidates):
            notes.add("image-not-image", ref.json_path, f'"{shown}" has no suffix of an image', ref.path)
        else:
            notes.add(
                "image-missing",
                ref.json_path,
                f'no file "{shown}" in the archive{self._hint(ref.path)}',
                ref.path,
            )
        return None

    def _find_loosely(self, candidates: list[str]) -> str | None:
        for path in candidates:
            found = self._loose.get(paths.loose(path), [])
            if len(found) == 1:
                return found[0]
        return None

    def _hint(self, path: str) -> str:
        """The nearest path, unless it differs in its numbers: then it is another image of a series."""
        digits = _DIGITS.findall(path)
        alike = [p for p in self._images if _DIGITS.findall(p) == digits]
        near = difflib.get_close_matches(paths.normalise(path), alike, n=1, cutoff=_NEAR_PATH)
        return f'; did you mean "{shorten(near[0])}"?' if near else ""


def _candidates(path: str, record_file: str) -> Iterable[str]:
    folder = posixpath.dirname(record_file)
    while True:
        yield paths.normalise(posixpath.join(folder, path))
        if not folder:
            return
        folder = posixpath.dirname(folder)
