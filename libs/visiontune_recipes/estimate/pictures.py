"""What a model makes of a picture: places in its vision tower, and tokens in its text.

Each class does what the processors of some families do; their own counts are compared in the tests.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Pictures(Protocol):
    """How pictures are seen. Sizes in pixels."""

    def patches(self, width_px: float, height_px: float) -> int:
        """Places of a picture in the vision tower."""

    def tokens(self, width_px: float, height_px: float) -> int:
        """Tokens of a picture in the text of the language model."""

    def of_video(self, frames: int, width_px: float, height_px: float) -> tuple[int, int]:
        """Places and tokens of a video that is kept as so many frames."""


@dataclass(frozen=True, slots=True)
class Whole:
    """Every picture is scaled to one size (LLaVA 1.5, PaliGemma, Gemma 3, CLIP).

    frames: into which a video is thinned out, or 0 where videos are not seen. more: tokens of each frame
    beside those of a picture.
    """

    patch_count: int
    token_count: int
    frames: int = 0
    more: int = 0

    def patches(self, width_px: float, height_px: float) -> int:
        """The same for all."""
        return self.patch_count

    def tokens(self, width_px: float, height_px: float) -> int:
        """The same for all."""
        return self.token_count

    def of_video(self, frames: int, width_px: float, height_px: float) -> tuple[int, int]:
        """Video-LLaVA's: all frames, each with its first token."""
        count = self.frames or frames
        return count * self.patch_count, count * (self.token_count + self.more)


@dataclass(frozen=True, slots=True)
class Scaled:
    """Pictures keep their shape and, between bounds, their size (Qwen's families).

    merge: patches along a side that become one token. least, most: pixels of a picture, or of a frame; of all
    frames of a video where they are bounded together (Qwen3-VL).
    """

    patch_px: int
    merge: int
    least: int
    most: int
    together: bool = False

    def patches(self, width_px: float, height_px: float) -> int:
        """Of the picture as it is scaled."""
        return self.tokens(width_px, height_px) * self.merge**2

    def tokens(self, width_px: float, height_px: float) -> int:
        """One for each square of merged patches."""
        return self._squares(width_px, height_px, 1)

    def of_video(self, frames: int, width_px: float, height_px: float) -> tuple[int, int]:
        """Two frames are one."""
        pairs = math.ceil(frames / 2)
        each = self._squares(width_px, height_px, 2 * pairs if self.together else 1)
        return pairs * each * self.merge**2, pairs * each

    def _squares(self, width_px: float, height_px: float, count: int) -> int:
        least, most = self.least / count, self.most / count
        edge = self.patch_px * self.merge
        wide, high = max(1, round(width_px / edge)), max(1, round(height_px / edge))
        area = width_px * height_px
        if wide * high * edge**2 > most:
            shrink = math.sqrt(area / most)
            wide = max(1, math.floor(width_px / shrink / edge))
            high = max(1, math.floor(height_px / shrink / edge))
        elif wide * high * edge**2 < least:
            grow = math.sqrt(least / area)
            wide, high = math.ceil(width_px * grow / edge), math.ceil(height_px * grow / edge)
        return wide * high


@dataclass(frozen=True, slots=True)
class Tiled:
    """A picture is seen small and as tiles, of which padding is cut (LLaVA-NeXT, LLaVA-OneVision).

    side: patches along a tile. tilings: heights and widths in pixels. most: tiles whose tokens are kept
    singly, more are averaged; 0: all. frames: into which a video is thinned out.
    """

    tile_px: int
    side: int
    tilings: Sequence[Sequence[int]]
    most: int = 0
    frames: int = 0

    def patches(self, width_px: float, height_px: float) -> int:
        """Of all tiles and of the whole, padding included."""
        high, wide = self._tiling(width_px, height_px)
        return (high * wide + 1) * self.side**2

    def tokens(self, width_px: float, height_px: float) -> int:
        """Of the whole, of the tiles without padding, and one at the end of each row."""
        high, wide = (each * self.side for each in self._tiling(width_px, height_px))
        if width_px / height_px > wide / high:
            high -= (high - int(round(height_px * wide / width_px, 7))) // 2 * 2
        else:
            wide -= (wide - int(round(width_px * high / height_px, 7))) // 2 * 2
        if self.most:
            shrink = math.sqrt(high * wide / (self.most * self.side**2))
            if shrink > 1.1:
                high, wide = int(high // shrink), int(wide // shrink)
        return self.side**2 + high * wide + high

    def of_video(self, frames: int, width_px: float, height_px: float) -> tuple[int, int]:
        """Every frame whole, four patches a token, and one token behind them all."""
        count = self.frames or frames
        return count * self.side**2, count * math.ceil(self.side / 2) ** 2 + 1

    def _tiling(self, width_px: float, height_px: float) -> tuple[int, int]:
        """Rows and columns of the tiling that keeps most of the picture and wastes least."""

        def worth(tiling: Sequence[int]) -> tuple[int, int]:
            high, wide = tiling
            scale = min(wide / width_px, high / height_px)
            kept = min(int(width_px * scale) * int(height_px * scale), int(width_px * height_px))
            return kept, kept - high * wide

        high, wide = max(self.tilings, key=worth)
        return high // self.tile_px, wide // self.tile_px


@dataclass(frozen=True, slots=True)
class Split:
    """A picture is scaled to a longest side, and seen as tiles and as a whole (Idefics3, SmolVLM).

    token_count: of a tile. longest_px: of the scaled picture.
    """

    tile_px: int
    patch_count: int
    token_count: int
    longest_px: int

    def patches(self, width_px: float, height_px: float) -> int:
        """Of all tiles and of the whole."""
        return self._tiles(width_px, height_px) * self.patch_count

    def tokens(self, width_px: float, height_px: float) -> int:
        """Of all tiles and of the whole; some that say where a tile stands come on top."""
        return self._tiles(width_px, height_px) * self.token_count

    def of_video(self, frames: int, width_px: float, height_px: float) -> tuple[int, int]:
        """The frames one by one: videos are not seen as such."""
        return frames * self.patches(width_px, height_px), frames * self.tokens(width_px, height_px)

    def _tiles(self, width_px: float, height_px: float) -> int:
        """Tiles, and the whole; a picture that is one tile is that alone."""
        scale = self.longest_px / max(width_px, height_px)
        sides = (math.ceil(_even(int(px * scale)) / self.tile_px) for px in (width_px, height_px))
        tiles = math.prod(sides)
        return tiles + 1 if tiles > 1 else 1


def _even(number: int) -> int:
    return max(1, number + number % 2)


@dataclass(frozen=True, slots=True)
class Cropped:
    """A picture is seen as crops of its own size or less, and as a whole (Phi-4-multimodal).

    most: crops. The numbers of tokens are the class's own, of 32 by 32 patches a crop.
    """

    crop_px: int
    most: int

    def patches(self, width_px: float, height_px: float) -> int:
        """Of all crops and of the whole."""
        wide, high = self._grid(width_px, height_px)
        return (wide * high + 1) * 32**2

    def tokens(self, width_px: float, height_px: float) -> int:
        """Of the whole, of what is no padding in the crops, and line ends."""
        wide, high = self._grid(width_px, height_px)
        patch_px = self.crop_px / 32
        scale = min(wide * self.crop_px / width_px, high * self.crop_px / height_px)
        across, down = (
            math.ceil((count * 32 - math.floor((count * self.crop_px - int(px * scale)) / patch_px)) / 2)
            for count, px in ((wide, width_px), (high, height_px))
        )
        return 256 + 1 + across * down + down + 16

    def of_video(self, frames: int, width_px: float, height_px: float) -> tuple[int, int]:
        """The frames one by one: videos are not seen as such."""
        return frames * self.patches(width_px, height_px), frames * self.tokens(width_px, height_px)

    def _grid(self, width_px: float, height_px: float) -> tuple[int, int]:
        """Crops across and down."""
        wide, high = math.ceil(width_px / self.crop_px), math.ceil(height_px / self.crop_px)
        if wide * high <= self.most:
            return wide, high
        grids = sorted(
            (
                (across, down)
                for across in range(1, self.most + 1)
                for down in range(1, self.most // across + 1)
            ),
            key=lambda grid: grid[0] * grid[1],
        )
        best, closest = (1, 1), math.inf
        for grid in grids:
            off = abs(width_px / height_px - grid[0] / grid[1])
            roomy = width_px * height_px > 0.5 * self.crop_px**2 * grid[0] * grid[1]
            if off < closest or (off == closest and roomy):
                best, closest = grid, off
        return best
