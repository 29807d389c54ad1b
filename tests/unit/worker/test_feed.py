"""Lengths are estimated from a row as it is stored: text by its characters, images by number or size."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from visiontune_recipes.families import FAMILIES, Family
from visiontune_recipes.spec import Batching
from visiontune_worker.feed import IMAGE_CHARACTERS, PIXELS_A_CHARACTER, Feed, chosen_batching, estimate

from tests.support import worker_data


def picture(width: int, height: int) -> dict[str, bytes]:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue()}


def row(text: str, *images: dict[str, bytes]) -> dict[str, object]:
    places = [{"type": "image", "text": None} for _ in images]
    return {
        "images": list(images),
        "messages": [{"role": "user", "content": [*places, {"type": "text", "text": text}]}],
    }


def test_images_that_are_alike_to_the_model_count_alike() -> None:
    assert estimate(row("abcd", picture(10, 10)), by_area=False) == 4 + IMAGE_CHARACTERS
    assert estimate(row("ab", picture(10, 10), picture(999, 9)), by_area=False) == 2 + 2 * IMAGE_CHARACTERS


def test_images_of_any_size_count_by_their_area() -> None:
    small, large = (estimate(row("ab", picture(side, side)), by_area=True) for side in (28, 280))
    assert (small, large) == (2 + 28 * 28 // PIXELS_A_CHARACTER, 2 + 280 * 280 // PIXELS_A_CHARACTER)


@pytest.mark.parametrize("columns", [{}, {"messages": None, "images": None}])
def test_a_row_without_conversation_has_no_length(columns: dict[str, object]) -> None:
    assert estimate(columns, by_area=True) == 0


def test_what_is_no_image_has_no_size() -> None:
    assert estimate(row("ab", {"bytes": b"no image"}), by_area=True) == 2


class Model:
    """What is asked of a built model."""

    def __init__(self, family: Family, parameter_count: int) -> None:
        self.family, self.parameter_count = family, parameter_count


@pytest.mark.parametrize(
    ("family", "parameter_count", "batching"),
    [
        ("llava", 700_000, Batching.PADDED),
        ("llava", 7_000_000_000, Batching.LENGTH_GROUPED),
        ("text", 7_000_000_000, Batching.LENGTH_GROUPED),
        ("clip", 7_000_000_000, Batching.PADDED),
    ],
)
def test_large_models_that_answer_take_examples_of_like_length(
    family: str, parameter_count: int, batching: Batching
) -> None:
    model: Any = Model(FAMILIES[family], parameter_count)
    assert chosen_batching(model, worker_data.spec()) is batching


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "in the order of the epoch"),
        ({"lengths": len}, "of like length in each step"),
        ({"packed": True}, "in the order of the epoch, those of a pass one after another in one row"),
        ({"keeps_features": True}, "in the order of the epoch, features are kept"),
    ],
)
def test_how_examples_are_laid_out_is_told_in_words(changes: dict[str, Any], told: str) -> None:
    nothing: Any = None
    train: Any = SimpleNamespace(keeps_features=changes.get("keeps_features", False))
    found = Feed(nothing, nothing, changes.get("lengths"), train, nothing, 1, changes.get("packed", False))
    assert found.how == told
