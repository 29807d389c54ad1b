"""Frames of videos are chosen evenly, and tensors of unlike shape are put together."""

import pytest
import torch
from visiontune_worker.objectives.conversations import frames_of, prompt_of
from visiontune_worker.objectives.joining import along_first, along_text, mask

from tests.support import families


@pytest.mark.parametrize(
    ("count", "wanted", "expected"),
    [
        (4, 0, [0, 1, 2, 3]),
        (1, 0, [0, 0]),
        (4, 8, [0, 0, 1, 1, 2, 2, 3, 3]),
        (8, 4, [0, 2, 4, 6]),
        (1, 3, [0, 0, 0]),
    ],
)
def test_a_video_has_as_many_frames_as_its_family_wants(count: int, wanted: int, expected: list[int]) -> None:
    assert frames_of(count, wanted) == expected


def test_a_prompt_shows_a_video_as_one() -> None:
    messages = [families.text("user", "Then?", pictures=4), families.text("assistant", "This.")]
    assert prompt_of(messages, {}) == "<image><image><image><image>Then?"
    assert prompt_of(messages, {1: 2}) == "<image><video><image>Then?"
    assert prompt_of(messages, {0: 1, 1: 3}) == "<video><video>Then?"
    assert prompt_of([families.text("system", "Be brief."), *messages], {0: 4}) == (
        "system: Be brief.\nuser: <video>Then?"
    )


def test_tiles_are_padded_with_zeros_and_examples_without_pictures_skipped() -> None:
    small, large = torch.ones(1, 2, 3), torch.ones(2, 4, 3)
    joined = along_first([{"tiles": small, "sizes": torch.tensor([[5, 6]])}, {}, {"tiles": large}])
    assert joined["tiles"].shape == (3, 4, 3)
    assert joined["tiles"][0].sum() == small.sum()
    assert torch.equal(joined["tiles"][1:], large)
    assert torch.equal(joined["sizes"], torch.tensor([[5, 6]]))


def test_crops_that_are_none_count_as_seen_where_the_processor_has_it_so() -> None:
    joined = along_first([{"image_attention_mask": torch.zeros(1, crops, 4, 4)} for crops in (2, 3)])
    assert joined["image_attention_mask"].sum(dim=(2, 3)).tolist() == [[0, 0, 16], [0, 0, 0]]


@pytest.mark.parametrize(
    ("left", "expected"), [(False, [[7, 7, 0], [7, 7, 7]]), (True, [[0, 7, 7], [7, 7, 7]])]
)
def test_texts_are_padded_on_the_side_that_is_asked_for(left: bool, expected: list[list[int]]) -> None:
    rows = [torch.full((2,), 7), torch.full((3,), 7)]
    assert along_text(rows, left=left).tolist() == expected
    assert (mask([2, 3], left=left) * 7).tolist() == expected
