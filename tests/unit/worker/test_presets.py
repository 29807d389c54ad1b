"""Every preset that sees is shown what it sees."""

import pytest
from PIL import Image
from visiontune_recipes.presets import PRESETS
from visiontune_worker import preview

SEEING = [name for name, preset in PRESETS.items() if preset.processor]


@pytest.mark.parametrize("name", SEEING)
def test_the_picture_is_as_the_models_processor_makes_it(name: str) -> None:
    see = preview._seen_by(name)
    for grey in (60, 200):
        # Some cut the middle out, some fill up what is missing at the right: the first pixel is the picture's.
        seen = see(Image.new("RGB", (64, 40), (grey, grey, grey)))
        assert seen.mode == "RGB"
        assert min(seen.size) >= 16
        assert seen.getpixel((0, 0)) == pytest.approx((grey, grey, grey), abs=2)
