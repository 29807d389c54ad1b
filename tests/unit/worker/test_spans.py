"""Tokens are shown in runs, as the text that they are in their place."""

from collections.abc import Sequence
from types import SimpleNamespace

from visiontune_worker.spans import Kind, Span, picture_ids, spans

WORDS = {1: "▁What", 2: "▁digit", 3: "?", 4: "▁seven", 5: "</s>", 90: "<image>", 91: "<video>"}
NOWHERE: frozenset[int] = frozenset()


def decode(ids: Sequence[int]) -> str:
    """As SentencePiece does: the first space of all is dropped."""
    return "".join(WORDS[each] for each in ids).replace("▁", " ").removeprefix(" ")


def test_pictures_are_folded_and_what_is_trained_on_stands_apart() -> None:
    ids = [90, 90, 90, 1, 2, 3, 4, 5]
    found = spans(ids, [False] * 6 + [True] * 2, {90}, decode)
    assert found == [
        Span(Kind.IMAGE, "<image>", 3, [90]),
        Span(Kind.READ, " What digit?", 3, [1, 2, 3]),
        Span(Kind.TRAINED, " seven</s>", 2, [4, 5]),
    ]


def test_images_and_videos_side_by_side_and_examples_in_a_row_are_told_apart() -> None:
    found = spans([90, 91, 91, 90, 90, 3, 3], [False] * 7, {90, 91}, decode, starts=[0, 4, 6])
    assert [(each.text, each.token_count) for each in found] == [
        ("<image>", 1),
        ("<video>", 2),
        ("<image>", 1),
        ("<image>", 1),
        ("?", 1),
        ("?", 1),
    ]


def test_half_a_character_before_a_run_does_not_take_the_runs_text() -> None:
    def halves(ids: Sequence[int]) -> str:
        return bytes(ids).decode(errors="replace")

    first, second = "é".encode()
    [read, trained] = spans([65, first, second, 66], [False, False, True, True], NOWHERE, halves)
    assert (read.text, trained.text) == ("A\ufffd", "\ufffdB")


def test_which_tokens_are_pictures_is_read_from_wherever_a_config_says_it() -> None:
    inner = SimpleNamespace(image_token_id=7, video_token_id=None)
    assert picture_ids(SimpleNamespace(vlm_config=inner, image_token_index=3)) == {3, 7}
    assert picture_ids(SimpleNamespace()) == NOWHERE
