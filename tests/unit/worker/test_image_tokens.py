"""How many tokens a picture costs, by its size."""

import pytest
from visiontune_recipes.families import FAMILIES

from tests.support import families


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize(
    ("size", "expected"),
    [((32, 32), 16), ((64, 40), 40), ((8, 8), 16), ((640, 400), 135), ((2000, 40), 84)],
)
def test_a_qwen_sees_a_picture_as_large_as_it_is_within_limits(
    name: str, size: tuple[int, int], expected: int
) -> None:
    made = families.whole(FAMILIES[name])
    [encoded] = families.objective(FAMILIES[name], made).encode([families.pictures(0, size)])
    rows, columns = encoded.vision["image_grid_thw"][0, 1:].tolist()
    assert families.count_of_pictures(made, encoded) == rows * columns // 4 == expected
    # 8 x 8 pixels a token, between 32 x 32 and 96 x 96 pixels of a picture of whatever shape.
    assert 16 <= expected <= 144


def test_several_pictures_of_a_onevision_are_not_cut_into_tiles() -> None:
    family = FAMILIES["llava_onevision"]
    made = families.whole(family)
    one, two = families.objective(family, made).encode([families.pictures(0), families.two_pictures(0)])
    assert families.count_of_pictures(made, one) > 17  # its whole, its tiles, and their rows
    assert families.count_of_pictures(made, two) == 2 * 17
