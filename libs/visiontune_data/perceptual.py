"""Which pictures look alike: a perceptual hash of each thumbnail, and groups of near ones."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from PIL import Image

SHORTEST_SIDE_PX: Final = 32  # below it there is too little to see: scans of 8 x 8 digits are all alike
NEAR_BITS: Final = 4  # of 64; saved again at lower quality, or half as large, a photograph differs by so many
MOST_COMPARED: Final = 50_000  # pictures; all pairs are looked at
_SAMPLES: Final = 32
_KEPT: Final = 8
_BLOCK: Final = 50  # rows of distances that stay in the cache, as a row of 10,000 pictures is 80 KB
# The first rows of the discrete cosine transform (type 2), [8, 32].
_COSINES: Final = np.cos(
    np.pi / (2 * _SAMPLES) * np.outer(np.arange(_KEPT), 2 * np.arange(_SAMPLES) + 1)
).astype(np.float32)


def samples(small: Image.Image) -> Any:
    """The brightness of a thumbnail, RGB or RGBX, as float32 [32, 32]."""
    # Reducing by whole factors is cheap, and twice the samples leave enough for a good filter.
    factors = (max(1, small.width // (2 * _SAMPLES)), max(1, small.height // (2 * _SAMPLES)))
    grey = small.convert("L").reduce(factors).resize((_SAMPLES, _SAMPLES), Image.Resampling.BILINEAR)
    return np.asarray(grey, np.float32)


def phash(brightness: Any) -> int:
    """64 bits of what `samples` gives: whether each of the 8 x 8 lowest frequencies is above their median."""
    low = (_COSINES @ brightness @ _COSINES.T).ravel()
    middle = np.partition(low, low.size // 2 - 1)[low.size // 2 - 1]
    return int.from_bytes(np.packbits(low > middle).tobytes(), "big")


def near_groups(hashes: Sequence[int]) -> list[list[int]]:
    """Indices of hashes that differ in few bits, directly or through others, in groups of two and more."""
    values = np.array(hashes, np.uint64)
    parent = list(range(len(hashes)))
    for start in range(0, len(values), _BLOCK):
        distances = np.bitwise_count(values[start : start + _BLOCK, None] ^ values[None, start:])
        for one, other in zip(*np.nonzero(distances <= NEAR_BITS), strict=True):
            _join(parent, start + int(one), start + int(other))
    found: dict[int, list[int]] = defaultdict(list)
    for index in range(len(hashes)):
        found[_root(parent, index)].append(index)
    return [group for group in found.values() if len(group) > 1]


def _root(parent: list[int], index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = parent[index]
    return index


def _join(parent: list[int], one: int, other: int) -> None:
    first, second = sorted((_root(parent, one), _root(parent, other)))
    parent[second] = first
