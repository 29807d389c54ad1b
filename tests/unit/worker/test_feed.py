"""Lengths are estimated from a row as it is stored: text by its characters, images by number or size."""

import io

import pytest
from PIL import Image
from visiontune_worker.feed import IMAGE_CHARACTERS, PIXELS_A_CHARACTER, estimate


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
