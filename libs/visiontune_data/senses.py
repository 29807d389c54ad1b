"""Words that a changed picture can belie: counted at import, asked before a training augments pictures."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Sense(StrEnum):
    """What a word is about."""

    HORIZONTAL = "HORIZONTAL"
    VERTICAL = "VERTICAL"
    TURNING = "TURNING"
    READING = "READING"
    COLOUR = "COLOUR"


WORDS: Mapping[Sense, str] = {
    Sense.HORIZONTAL: (
        "left right leftmost rightmost leftward leftwards rightward rightwards east west eastern western "
        "eastward westward northeast northwest southeast southwest"
    ),
    Sense.VERTICAL: (
        "above below up down top bottom upper lower uppermost topmost upward upwards downward downwards "
        "upright overhead underneath north south northern southern northeast northwest southeast southwest"
    ),
    Sense.TURNING: (
        "clockwise counterclockwise anticlockwise mirrored mirror rotated rotation flipped inverted upside "
        "sideways tilted diagonal diagonally vertical vertically horizontal horizontally"
    ),
    Sense.READING: (
        "read reads reading text texts word words letter letters character characters digit digits number "
        "numbers numeral numerals written handwritten handwriting printed transcribe transcription spell "
        "spelled says ocr"
    ),
    Sense.COLOUR: (
        "red orange yellow green blue purple violet pink brown black white gray grey beige golden silver "
        "turquoise color colors colored colour colours coloured"
    ),
}
_WORD = re.compile(r"[a-z]+")


def _by_word() -> dict[str, tuple[Sense, ...]]:
    found: dict[str, tuple[Sense, ...]] = {}
    for sense, words in WORDS.items():
        for word in words.split():
            found[word] = (*found.get(word, ()), sense)
    return found


_SENSES = _by_word()


@dataclass(frozen=True, slots=True)
class SenseCount:
    """Examples that have a word of a sense, and how many have each word: the most frequent first."""

    sense: Sense
    example_count: int
    words: tuple[tuple[str, int], ...]


@dataclass(slots=True)
class SensesBuilder:
    """Counts, one example at a time; memory grows with the table of words alone."""

    _examples: Counter[Sense] = field(default_factory=Counter)
    _words: Counter[str] = field(default_factory=Counter)

    def add(self, texts: Iterable[str]) -> None:
        """Counts each word of an example's texts once."""
        found = _SENSES.keys() & _WORD.findall(" ".join(texts).lower())
        if found:
            self._words.update(found)
            self._examples.update({sense for word in found for sense in _SENSES[word]})

    def build(self) -> tuple[SenseCount, ...]:
        """What was counted, without senses that never occurred."""
        return tuple(
            SenseCount(sense, self._examples[sense], tuple(self._of(sense)))
            for sense in Sense
            if self._examples[sense]
        )

    def _of(self, sense: Sense) -> Iterator[tuple[str, int]]:
        ranked = sorted(self._words.items(), key=lambda entry: (-entry[1], entry[0]))
        return ((word, count) for word, count in ranked if sense in _SENSES[word])
