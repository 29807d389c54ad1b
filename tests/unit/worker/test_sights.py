"""What is seen of a picture is told by the shape that its processor gave it."""

import torch
from visiontune_worker.sights import Sight, sights


def test_pictures_of_one_size_are_seen_whole() -> None:
    assert sights({"pixel_values": torch.ones(2, 3, 28, 56)}, [False, False], 14) == [Sight(56, 28)] * 2


def test_patches_say_the_size() -> None:
    grids = torch.tensor([[1, 4, 6], [1, 2, 2]])
    assert sights({"image_grid_thw": grids}, [False, False], 14) == [Sight(84, 56), Sight(28, 28)]


def test_tiles_are_counted_without_those_that_fill_the_row_up() -> None:
    pixels = torch.ones(2, 5, 3, 8, 8)
    pixels[1, 3:] = 0
    assert sights({"pixel_values": pixels}, [False, False], 0) == [Sight(8, 8, 5), Sight(8, 8, 3)]


def test_tiles_of_several_pictures_in_one_row_cannot_be_told_apart() -> None:
    pixels = torch.ones(1, 5, 3, 8, 8)
    assert sights({"pixel_values": pixels}, [False], 0) == [Sight(8, 8, 5)]
    assert sights({"pixel_values": pixels}, [False, False], 0) == [Sight(8, 8, 0)] * 2


def test_videos_have_frames() -> None:
    vision = {"pixel_values": torch.ones(1, 3, 8, 8), "pixel_values_videos": torch.ones(1, 4, 3, 16, 8)}
    assert sights(vision, [True, False], 0) == [Sight(8, 16, frame_count=4), Sight(8, 8)]
    grid = {"video_grid_thw": torch.tensor([[2, 4, 4]])}
    assert sights(grid, [True], 14) == [Sight(56, 56, frame_count=2)]


def test_what_is_not_there_is_not_seen() -> None:
    assert sights({}, [False], 14) == [Sight(0, 0, 0)]
