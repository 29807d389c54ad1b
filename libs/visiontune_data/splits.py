"""Decides train and validation by hashes, so that the same data is split alike everywhere, without leaks."""

import hashlib
from array import array
from collections import Counter
from collections.abc import Sequence

TRAIN, VALIDATION = "train", "validation"
SPLIT_NAMES = (TRAIN, VALIDATION, "test")
_HASH_RANGE = 1 << 64


class Splitter:
    """Gathers the examples of a version in order. Examples that share an image are never separated."""

    def __init__(self) -> None:
        self._id_hashes = array("Q")
        self._first_image = array("q")  # index of the example's first image, -1 without
        self._images: dict[str, int] = {}
        self._parent = array("q")
        self._names: list[str | None] = []
        self._settled: list[str | None] = []

    def add(
        self, example_id: str, image_digests: Sequence[str], named: str | None, settled: str | None = None
    ) -> None:
        """Adds one example; `named` is the split that the data says, `settled` what a version says."""
        self._id_hashes.append(_hash(example_id))
        self._names.append(named)
        self._settled.append(settled)
        indices = [self._index(digest) for digest in image_digests]
        self._first_image.append(indices[0] if indices else -1)
        for other in indices[1:]:
            self._parent[self._root(other)] = self._root(indices[0])

    @property
    def is_named(self) -> bool:
        """Whether the data itself names at least two splits."""
        return len({name for name in self._names if name}) > 1

    def decide(self, validation_fraction: float) -> list[str]:
        """The split of each example. Neither side is empty when there are two groups and a fraction."""
        if self.is_named:
            return [name or TRAIN for name in self._names]
        keys = self._keys()
        bound = int(validation_fraction * _HASH_RANGE)
        if validation_fraction > 0 and len(distinct := sorted(set(keys))) > 1:
            bound = min(max(bound, distinct[0] + 1), distinct[-1])
        return [VALIDATION if key < bound else TRAIN for key in keys]

    def decide_beside(self, validation_fraction: float) -> list[str]:
        """The split of each example, beside those of an earlier version, which has its validation already.

        As in a version of its own, naming nothing but `train` is naming none. What names none goes to those
        that it shares an image with; others by hash, unless the data names some.
        """
        is_named = any(name not in {None, TRAIN} for name in self._names)
        settled: dict[int, str] = {}  # by group of images
        for first, split in zip(self._first_image, self._settled, strict=True):
            if split and first >= 0:
                settled.setdefault(self._root(first), split)
        bound = 0 if is_named else int(validation_fraction * _HASH_RANGE)
        return [
            (is_named and name)
            or split
            or (first >= 0 and settled.get(self._root(first)))
            or (VALIDATION if key < bound else TRAIN)
            for name, split, first, key in zip(
                self._names, self._settled, self._first_image, self._keys(), strict=True
            )
        ]

    def _keys(self) -> list[int]:
        """What decides each example: its id, or where an image repeats, its group's smallest image digest."""
        roots = [self._root(first) if first >= 0 else -1 for first in self._first_image]
        sizes = Counter(roots)
        smallest: dict[int, str] = {}
        for digest, index in self._images.items():
            root = self._root(index)
            smallest[root] = min(digest, smallest.get(root, digest))
        return [
            _hash(smallest[root]) if root >= 0 and sizes[root] > 1 else id_hash
            for root, id_hash in zip(roots, self._id_hashes, strict=True)
        ]

    def _index(self, digest: str) -> int:
        index = self._images.setdefault(digest, len(self._images))
        if index == len(self._parent):
            self._parent.append(index)
        return index

    def _root(self, index: int) -> int:
        while self._parent[index] != index:
            self._parent[index] = self._parent[self._parent[index]]
            index = self._parent[index]
        return index


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
