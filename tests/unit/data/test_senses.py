"""Words that a changed picture can belie are counted an example, whoever says them but the system."""

from visiontune_data.example import IMAGE, Example, Message, Part
from visiontune_data.senses import WORDS, Sense, SenseCount
from visiontune_data.statistics import StatisticsBuilder


def chat(*texts: str, system: str = "") -> Example:
    roles = ("user", "assistant")
    messages = tuple(Message(roles[i % 2], (IMAGE, Part(text))) for i, text in enumerate(texts))  # type: ignore[arg-type]
    first = (Message("system", (Part(system),)),) if system else ()
    return Example("x", (), (*first, *messages), (), "train", "{}")


def captions(*texts: str) -> Example:
    return Example("x", (), (), texts, "train", "{}")


def test_each_word_of_an_example_is_counted_once() -> None:
    builder = StatisticsBuilder()
    builder.add(chat("What is LEFT of the left door?", "The right one, above.", system="turn it upside down"))
    builder.add(captions("A left-handed player", "nothing to the RIGHT"))
    builder.add(chat("Which digit?", "Seven, a bright one with brown Leftovers"))
    assert builder.build({"train": 3}).text_senses == (
        SenseCount(Sense.HORIZONTAL, 2, (("left", 2), ("right", 2))),
        SenseCount(Sense.VERTICAL, 1, (("above", 1),)),
        SenseCount(Sense.READING, 1, (("digit", 1),)),
        SenseCount(Sense.COLOUR, 1, (("brown", 1),)),
    )


def test_statistics_hold_them_and_say_when_there_are_none() -> None:
    builder = StatisticsBuilder()
    builder.add(chat("What is it?", "A cat."))
    assert builder.build({"train": 1}).text_senses == ()


def test_words_are_as_texts_are_searched() -> None:
    assert all(
        word.isascii() and word.isalpha() and word.islower() for w in WORDS.values() for word in w.split()
    )
