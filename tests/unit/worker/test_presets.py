"""Every preset that sees is shown what it sees."""

import io
from typing import Any

import pytest
from PIL import Image
from visiontune_recipes.presets import PRESETS
from visiontune_worker import preview_pictures

from tests.support import families

SEEING = [name for name, preset in PRESETS.items() if preset.processor]


@pytest.mark.parametrize("name", SEEING)
def test_the_picture_is_as_the_models_processor_makes_it(name: str) -> None:
    picture = Image.open(io.BytesIO(families.scan(1))).convert("RGB")
    seen = preview_pictures.seen_by(name)(picture)
    assert (picture.size, seen.mode) == ((64, 40), "RGB")
    assert min(seen.size) >= 16
    shades: Any = seen.convert("L").getextrema()
    assert shades[0] < 60
    assert shades[1] > 195
