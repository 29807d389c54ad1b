"""How right an answer is, by what is usual for short and for long ones. Pure text."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from rapidfuzz.distance import Indel

# Answers of so many words are short: of a version whose answers mostly are, exact measures say something.
MOST_SHORT_WORDS = 5
# Of so many references agree as many with an answer as it takes to be right: 3 of the 10 of VQAv2.
_SHARE_TO_AGREE = 0.3
_UP_TO_TEN = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {"none": "0", **{word: str(number) for number, word in enumerate(_UP_TO_TEN)}}
_ARTICLES = frozenset({"a", "an", "the"})
_THOUSANDS = re.compile(r"(?<=\d),(?=\d)")
_PUNCTUATION = re.compile(r"[;/\[\]\"{}()=+\\_\-><@`,?!]")
_STOPS = re.compile(r"\.(?!\d)")
_APOSTROPHES = re.compile("['’]")
_WORD = re.compile(r"[^\W_]+")


def normalised(text: str) -> str:
    """A short answer as VQAv2 compares it: without case, articles and punctuation, numbers in digits.

    Apostrophes count for nothing, in place of the list of contractions that VQAv2 has.
    """
    text = _PUNCTUATION.sub(" ", _THOUSANDS.sub("", text.lower()))
    words = _APOSTROPHES.sub("", _STOPS.sub("", text)).split()
    return " ".join(_NUMBERS.get(word, word) for word in words if word not in _ARTICLES)


def vqa_accuracy(answer: str, references: Sequence[str]) -> float:
    """min(agreeing / 3, 1) of ten references (Antol et al. 2015, arXiv:1505.00468); 1 or 0 of up to three."""
    said = normalised(answer)
    agreeing = sum(normalised(each) == said for each in references)
    return min(agreeing / (_SHARE_TO_AGREE * len(references)), 1.0)


def rouge_l(answer: str, references: Sequence[str]) -> float:
    """F1 of the longest common subsequence of words (Lin 2004, ACL W04-1013), with the nearest reference.

    2 * common / (words of one + words of the other), which is Indel's similarity.
    """
    said = words(answer)
    return max(Indel.normalized_similarity(said, words(each)) for each in references)


def words(text: str) -> list[str]:
    """Runs of letters and digits of any script, in lower case."""
    return _WORD.findall(text.lower())


# Measures of an answer, 0 to 1 each: given the answer, the one in the conversation, and the references.
SCORES: Mapping[str, Callable[[str, str, Sequence[str]], float]] = MappingProxyType(
    {
        "exact_match": lambda answer, expected, _references: float(answer == expected),
        "vqa_accuracy": lambda answer, _expected, references: vqa_accuracy(answer, references),
        "rouge_l": lambda answer, _expected, references: rouge_l(answer, references),
    }
)
_OF_SHORT, _OF_LONG = ("exact_match", "vqa_accuracy"), ("rouge_l",)


def is_long(text: str) -> bool:
    """True when an answer has more than a few words."""
    return len(words(text)) > MOST_SHORT_WORDS


def suiting(long: int, count: int) -> tuple[str, ...]:
    """The scores that suit answers of which so many are long."""
    return _OF_LONG if 2 * long > count else _OF_SHORT


def references_of(metadata_json: str, expected: str) -> tuple[str, ...]:
    """The answers that the data lists beside a conversation as `answers`, else the expected one alone.

    They are texts, or objects with an `answer` as in VQAv2.
    """
    found = json.loads(metadata_json).get("answers") if '"answers"' in metadata_json else None
    listed = found if isinstance(found, list) else []
    texts = [each.get("answer") if isinstance(each, dict) else each for each in listed]
    return tuple(text.strip() for text in texts if isinstance(text, str) and text.strip()) or (expected,)
