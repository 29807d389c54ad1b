"""Which pictures look alike: a perceptual hash of each thumbnail, and groups of near ones."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SHORTEST_SIDE_PX: Final = 32  # below it there is too little to see: scans of 8 x 8 digits are all alike
NEAR_BITS: Final = 4  # of 64; saved again at lower quality, or half as large, a photograph differs by so many
MOST_COMPARED: Final = 50_000  # pictures
_SAMPLES: Final = 32
_KEPT: Final = 8
_PART_BITS: Final = -(-64 // (NEAR_BITS + 1))
# The first rows of the discrete cosine transform (type 2), [8, 32].
_COSINES: Final = np.cos(
    np.pi / (2 * _SAMPLES) * np.outer(np.arange(_KEPT), 2 * np.arange(_SAMPLES) + 1)
).astype(np.float32)


def samples(small: Image.Image) -> NDArray[np.uint8]:
    """The brightness of a thumbnail, RGB or RGBX, as [32, 32]."""
    # Reducing by whole factors is cheap, and twice the samples leave enough for a good filter.
    factors = (max(1, small.width // (2 * _SAMPLES)), max(1, small.height // (2 * _SAMPLES)))
    grey = small.convert("L").reduce(factors).resize((_SAMPLES, _SAMPLES), Image.Resampling.BILINEAR)
    return np.frombuffer(grey.tobytes(), np.uint8).reshape(_SAMPLES, _SAMPLES)


def phashes(brightness: NDArray[np.uint8]) -> list[int]:
    """64 bits for each of what `samples` gave, together [n, 32, 32].

    They say which of the 8 x 8 lowest frequencies are above their median.
    """
    low = (_COSINES @ brightness.astype(np.float32) @ _COSINES.T).reshape(len(brightness), -1)
    half = low.shape[1] // 2 - 1
    middle = np.partition(low, half)[:, half, None]
    return [int(bits) for bits in np.packbits(low > middle, axis=1).view(">u8").ravel()]


def near_groups(hashes: Sequence[int]) -> list[list[int]]:
    """Indices of hashes that differ in few bits, directly or through others, in groups of two and more."""
    values, firsts, which = np.unique(np.array(hashes, np.uint64), return_index=True, return_inverse=True)
    parent, eldest = firsts[which].tolist(), firsts.tolist()
    for one, other in _near_pairs(values):
        if parent[eldest[one]] != parent[eldest[other]]:  # most pairs of a large group are joined already
            _join(parent, eldest[one], eldest[other])
    found: dict[int, list[int]] = defaultdict(list)
    for index in range(len(hashes)):
        found[_root(parent, index)].append(index)
    return [group for group in found.values() if len(group) > 1]


def _near_pairs(values: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Indices of pairs that differ in NEAR_BITS at most, some several times.

    Of one more parts than these a pair has one in common: it lies in the same run once sorted by that.
    """
    for part in range(NEAR_BITS + 1):
        keys = (values >> np.uint64(part * _PART_BITS)) & np.uint64((1 << _PART_BITS) - 1)
        order = np.argsort(keys)
        keys, ordered = keys[order], values[order]
        distance, begins = 1, np.arange(len(values) - 1)
        while len(begins):
            begins = begins[keys[begins] == keys[begins + distance]]
            bits = np.bitwise_count(ordered[begins] ^ ordered[begins + distance])
            near = begins[bits <= NEAR_BITS]
            yield from zip(order[near].tolist(), order[near + distance].tolist(), strict=True)
            distance += 1
            begins = begins[begins < len(values) - distance]


def _root(parent: list[int], index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = parent[index]
    return index


def _join(parent: list[int], one: int, other: int) -> None:
    first, second = sorted((_root(parent, one), _root(parent, other)))
    parent[second] = first
