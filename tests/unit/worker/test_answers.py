"""What answers are compared by: VQAv2's accuracy and ROUGE-L, by values known from elsewhere."""

import json

import pytest
from visiontune_worker.objectives import answers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Seven.", "7"),
        ("The  RED ball!", "red ball"),
        ("none", "0"),
        ("ten-speed bike", "10 speed bike"),
        ("1,000 people", "1000 people"),
        ("$3.50", "$3.50"),
        ("Don't know", "dont know"),
        ("it's a dog, a big one", "its dog big 1"),
        ('"yes"', "yes"),
        ("St. Mary", "st mary"),
        ("a", ""),
        ("Größe: 2", "größe: 2"),
    ],
)
def test_short_answers_are_compared_without_what_does_not_matter(text: str, expected: str) -> None:
    assert answers.normalised(text) == expected


@pytest.mark.parametrize(
    ("references", "accuracy"),
    [
        (["two"], 1.0),
        (["three"], 0.0),
        (["2", "two.", "The two", *["3"] * 7], 1.0),
        (["2", "two", *["3"] * 8], 2 / 3),
        (["2", *["3"] * 9], 1 / 3),
        (["3"] * 10, 0.0),
        (["3", "4", "two"], 1.0),
        (["two", "3", "4", "5", "6"], 1 / 1.5),
    ],
)
def test_three_of_ten_references_make_an_answer_right(references: list[str], accuracy: float) -> None:
    assert answers.vqa_accuracy("Two", references) == pytest.approx(accuracy)


@pytest.mark.parametrize(
    ("answer", "references", "score"),
    [
        # The first two are of Lin 2004, section 3.1.
        ("police kill the gunman", ["police killed the gunman"], 0.75),
        ("the gunman kill police", ["police killed the gunman"], 0.5),
        ("The quick brown dog jumps over the log.", ["The quick brown fox jumps on the lazy dog"], 0.588235),
        ("", ["some words"], 0.0),
        ("two words", ["some", "two words"], 1.0),
        ("a_b", ["a b"], 1.0),
        ("Ein größerer Hund", ["ein GRÖSSERER hund"], 2 / 3),
    ],
)
def test_long_answers_are_compared_by_their_common_words(
    answer: str, references: list[str], score: float
) -> None:
    assert answers.rouge_l(answer, references) == pytest.approx(score, abs=1e-5)


def test_what_suits_follows_from_how_long_most_answers_are() -> None:
    assert not answers.is_long("five words are not long")
    assert answers.is_long("a sixth word makes it long")
    assert answers.suiting(long=5, count=10) == ("exact_match", "vqa_accuracy")
    assert answers.suiting(long=6, count=10) == ("rouge_l",)


@pytest.mark.parametrize(
    ("metadata", "references"),
    [
        ({}, ("seven",)),
        ({"answers": ["7", " seven "]}, ("7", "seven")),
        ({"answers": [{"answer": "7", "answer_id": 1}, {"answer": "seven"}]}, ("7", "seven")),
        ({"answers": "7"}, ("seven",)),
        ({"answers": [None, 7, "", {"other": 1}]}, ("seven",)),
    ],
)
def test_references_are_what_the_data_lists(metadata: object, references: tuple[str, ...]) -> None:
    assert answers.references_of(json.dumps(metadata), "seven") == references
