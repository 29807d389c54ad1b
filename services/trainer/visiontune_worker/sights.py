"""At which size a model sees each picture of an example, by what its processor made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from torch import Tensor

# Where processors put pictures and videos, by their families.
IMAGES = ("pixel_values", "pixel_values_images", "image_pixel_values")
VIDEOS = ("pixel_values_videos",)


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen of one picture, or of each frame of a video. tile_count: 0 where it cannot be told."""

    width_px: int
    height_px: int
    tile_count: int = 1
    frame_count: int = 0


def sights(vision: Mapping[str, Tensor], is_video: Sequence[bool], patch_px: int) -> list[Sight]:
    """One for each picture in order, of which some are videos. patch_px: where pictures are in patches."""
    count = sum(is_video)
    videos = iter(_videos(vision, count, patch_px))
    images = iter(_images(vision, len(is_video) - count, patch_px))
    return [next(videos if each else images, Sight(0, 0, 0)) for each in is_video]


def _images(vision: Mapping[str, Tensor], count: int, patch_px: int) -> list[Sight]:
    if "image_grid_thw" in vision:
        return [Sight(*_size(grid, patch_px)) for grid in vision["image_grid_thw"].tolist()]
    pixels = next((vision[name] for name in IMAGES if name in vision), None)
    if pixels is None or not count:
        return []
    height, width = pixels.shape[-2:]
    return [Sight(width, height, tiles) for tiles in _tiles(pixels, count)]


def _tiles(pixels: Tensor, count: int) -> list[int]:
    """Tiles of each picture; what fills up a row of tiles is zeros."""
    if pixels.ndim == 4:  # [pictures, 3, height, width]
        return [1] * count if len(pixels) == count else [0] * count
    filled = pixels.flatten(2).any(dim=2).sum(dim=1).tolist()  # [pictures, tiles, 3, height, width]
    if len(filled) == count:
        return [int(each) for each in filled]
    return [int(sum(filled)) if count == 1 else 0] * count


def _videos(vision: Mapping[str, Tensor], count: int, patch_px: int) -> list[Sight]:
    if "video_grid_thw" in vision:
        grids = vision["video_grid_thw"].tolist()
        return [Sight(*_size(grid, patch_px), frame_count=int(grid[0])) for grid in islice(grids, count)]
    pixels = next((vision[name] for name in VIDEOS if name in vision), None)
    if pixels is None:
        return []
    height, width = pixels.shape[-2:]
    return [Sight(width, height, frame_count=pixels.shape[1])] * count


def _size(grid: Sequence[Any], patch_px: int) -> tuple[int, int]:
    _, rows, columns = grid
    return int(columns) * patch_px, int(rows) * patch_px
