"""Images that are there several times: with the same bytes, or looking alike."""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

from visiontune_data import perceptual
from visiontune_data.report import Place, Problem
from visiontune_data.text import shorten

_NAMED = 3


class Picture(NamedTuple):
    """An image to compare: its path says where it is."""

    path: str
    sha256: str
    phash: int | None


Groups = Sequence[Sequence[Picture]]


@dataclass(frozen=True, slots=True)
class Twins:
    """Groups of two images and more, each in the order of the archive, those of an earlier version behind.

    `same` have the same bytes. `near` look alike and differ in their bytes: each digest is there once.
    """

    same: Groups
    near: Groups
    _eldest: Mapping[str, str]

    @classmethod
    def none(cls) -> Self:
        """No twins at all."""
        return cls((), (), {})

    @classmethod
    def among(cls, images: Iterable[Picture], earlier: Iterable[Picture] = ()) -> Self:
        """The twins among these, and of these among the pictures of an earlier version."""
        by_digest: dict[str, list[Picture]] = defaultdict(list)
        for image in (*images, *earlier):
            by_digest[image.sha256].append(image)
        firsts = [group[0] for group in by_digest.values()]
        comparable = [image for image in firsts if image.phash is not None][: perceptual.MOST_COMPARED]
        groups = perceptual.near_groups([image.phash or 0 for image in comparable])
        near = [[comparable[index] for index in group] for group in groups]
        eldest = {i.sha256: min(each.sha256 for each in group) for group in near for i in group}
        return cls([group for group in by_digest.values() if len(group) > 1], near, eldest)

    def eldest(self, sha256: str) -> str:
        """What stands for an image and all that look like it: the smallest of their digests."""
        return self._eldest.get(sha256, sha256)

    def beside(self, earlier: Container[Picture], staying: Container[str]) -> Self:
        """Without groups of an earlier version alone, and those of its pictures whose digests do not stay."""

        def left(groups: Groups) -> Groups:
            shown = ([p for p in group if p.sha256 in staying or p not in earlier] for group in groups)
            return [group for group in shown if len(group) > 1 and group[0] not in earlier]

        return replace(self, same=left(self.same), near=left(self.near))

    def problems(self) -> Iterator[Problem]:
        """One warning a group."""
        for group in self.same:
            yield _problem("duplicate-exact", group, "the same bytes as")
        for group in self.near:
            yield _problem("duplicate-near", group, "looks nearly the same as")

    def near_leaks(self, splits_of_image: Mapping[str, set[str]]) -> Iterator[Problem]:
        """One warning a group of different images that are in several splits which the data names."""
        for group in self.near:
            splits = set().union(*(splits_of_image.get(image.sha256, set()) for image in group))
            if len(splits) > 1:
                found = f"in the splits {' and '.join(sorted(splits))} is this or nearly this image, as"
                yield _problem("split-leak-near", group, found)


def _problem(rule: str, group: Sequence[Picture], found: str) -> Problem:
    first, *others = (image.path for image in group)
    names = ", ".join(f'"{shorten(path)}"' for path in others[:_NAMED])
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    return Problem(rule, Place(first), f"{found} {names}{more}", shorten(first))
