"""Finds the image that a record names, and says what is nearest when there is none."""

import difflib
import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TypeVar

from visiontune_data import paths
from visiontune_data.example import ImageRef
from visiontune_data.foreign import is_foreign
from visiontune_data.formats import Notes
from visiontune_data.report import PLACES_PER_RULE
from visiontune_data.text import shorten

_NEAR_PATH = 0.8
_MOST_COMPARED = 1_000  # paths, for one hint
_DIGITS = re.compile(r"\d+")

K = TypeVar("K")


Find = Callable[[ImageRef, Notes], str | None]


def _no_other(ref: ImageRef, notes: Notes) -> str | None:
    notes.add("image-url-refused", ref.json_path, f'"{shorten(ref.path)}" is a URL', ref.path)
    return None


class ImageIndex:
    """The paths of an archive's images and other files."""

    def __init__(
        self,
        images: Iterable[str],
        others: Iterable[str],
        foreign: Find = _no_other,
        roots: Iterable[str] = (),
    ) -> None:
        """`foreign` finds what is no member of the archive. `roots` are folders that paths may leave out."""
        self._images, self._foreign, self._roots = set(images), foreign, sorted(roots)
        self._others = frozenset(others)
        # The report shows no more, and an archive may lack every image that its records name.
        self._hints_left = PLACES_PER_RULE

    @cached_property
    def _loose(self) -> dict[str, list[str]]:
        return self._by(paths.loose)

    @cached_property
    def _named(self) -> dict[str, list[str]]:
        return self._by(lambda path: paths.loose(posixpath.basename(path)))

    @cached_property
    def _numbered(self) -> dict[tuple[str, ...], list[str]]:
        return self._by(_numbers)

    def _by(self, key: Callable[[str], K]) -> dict[K, list[str]]:
        groups = defaultdict(list)
        for path in sorted(self._images):
            groups[key(path)].append(path)
        return groups

    def find(self, ref: ImageRef, record_file: str, notes: Notes) -> str | None:
        """The path of the image, relative to the file of records or to a folder above it; notes why not."""
        if ":" not in ref.path:  # most are no URL, and written as they are
            written = posixpath.join(posixpath.dirname(record_file), ref.path)
            if written in self._images:
                return written
        if is_foreign(ref.path):
            return self._foreign(ref, notes)
        shown = shorten(ref.path)
        if paths.is_unsafe(ref.path):
            notes.add(
                "image-path-unsafe", ref.json_path, f'the path "{shown}" leads out of the archive', ref.path
            )
            return None
        places = list(candidates(ref.path, record_file))
        places += [posixpath.join(root, places[-1]) for root in self._roots]
        if exact := next((path for path in places if path in self._images), None):
            return exact
        if loose := self._find_loosely(places):
            notes.add(
                "image-name-differs", ref.json_path, f'"{shown}" was taken for "{shorten(loose)}"', ref.path
            )
            return loose
        if any(path in self._others for path in places):
            notes.add("image-not-image", ref.json_path, f'"{shown}" has no suffix of an image', ref.path)
        else:
            notes.add(
                "image-missing",
                ref.json_path,
                f'no file "{shown}" in the archive{self._hint(ref.path)}',
                ref.path,
            )
        return None

    def below(self, folder: str) -> list[str]:
        """The images in a folder, not in those below it."""
        return self._in_folders.get(folder, [])

    @cached_property
    def _in_folders(self) -> dict[str, list[str]]:
        return self._by(posixpath.dirname)

    def _find_loosely(self, candidates: list[str]) -> str | None:
        for path in candidates:
            found = self._loose.get(paths.loose(path), [])
            if len(found) == 1:
                return found[0]
        return None

    def _hint(self, path: str) -> str:
        if not self._hints_left:
            return ""
        self._hints_left -= 1
        wanted = paths.normalise(path)
        near = self._elsewhere(wanted) or self._spelt_alike(wanted)
        return f'; did you mean "{shorten(near)}"?' if near else ""

    def _elsewhere(self, wanted: str) -> str | None:
        """The image of that name in another folder: records often begin at another root than the archive.

        None when several are as near, or when the folders differ in their numbers, as in a series.
        """
        same_name = self._named.get(paths.loose(posixpath.basename(wanted)), [])
        by_rest = {path: _rests(wanted, path) for path in same_name}
        shortest = min((len(rests[0]) for rests in by_rest.values()), default=0)
        nearest = [path for path, rests in by_rest.items() if len(rests[0]) == shortest]
        if len(nearest) != 1:
            return None
        ours, theirs = (_numbers("/".join(rest)) for rest in by_rest[nearest[0]])
        return None if ours and theirs and ours != theirs else nearest[0]

    def _spelt_alike(self, wanted: str) -> str | None:
        """The nearest path, unless it differs in its numbers: then it is another image of a series."""
        alike = self._numbered.get(_numbers(wanted), [])[:_MOST_COMPARED]
        return next(iter(difflib.get_close_matches(wanted, alike, n=1, cutoff=_NEAR_PATH)), None)


def _numbers(path: str) -> tuple[str, ...]:
    return tuple(_DIGITS.findall(path))


def _rests(one: str, other: str) -> tuple[list[str], list[str]]:
    """The segments of each path, loosely read, before those that both end with."""
    ours, theirs = paths.loose(one).split("/"), paths.loose(other).split("/")
    while ours and theirs and ours[-1] == theirs[-1]:
        ours.pop()
        theirs.pop()
    return ours, theirs


def candidates(path: str, record_file: str) -> Iterable[str]:
    """Where a path of a record may be: relative to its file, or to a folder above that."""
    folder = posixpath.dirname(record_file)
    while True:
        yield paths.normalise(posixpath.join(folder, path))
        if not folder:
            return
        folder = posixpath.dirname(folder)
