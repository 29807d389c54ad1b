"""The text of a log: whole, or its beginning and its end."""

from hypothesis import given
from hypothesis import strategies as st
from visiontune_trainer.domain.log_text import LogText
from visiontune_trainer.domain.reports import LogLine

from tests.support.trainer_values import JOB, NOW


def text_of(messages: list[str], most_bytes: int) -> str:
    text = LogText(most_bytes)
    for message in messages:
        text.add(LogLine(JOB, NOW, "", message, attempt=1))
    return text.encoded().decode()


def test_a_line_has_its_time_and_its_level() -> None:
    assert text_of(["begun"], 1_000) == "2030-01-01T00:00:00.000Z info    begun\n"
    assert text_of([], 1_000) == ""


def test_of_a_long_log_the_middle_is_left_out() -> None:
    found = text_of([f"line {number}" for number in range(1_000)], 1_000).splitlines()
    assert found[0].endswith("line 0")
    assert found[-1].endswith("line 999")
    [gap] = [place for place, line in enumerate(found) if "left out" in line]
    assert f"... {1_000 - len(found) + 1} lines are left out here ..." == found[gap]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), max_size=50))
def test_no_text_is_longer_than_it_may_be(messages: list[str]) -> None:
    room, gap = 2_000, 60
    assert len(text_of(messages, room).encode()) <= room + gap
