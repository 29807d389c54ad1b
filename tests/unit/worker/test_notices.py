"""What any rank tells, rank 0 hears once; examples left out are counted over all ranks."""

from visiontune_worker.notices import MOST_SKIPPED_EVENTS, SKIPPED, Notices


def test_what_is_told_is_taken_once_and_heard_with_its_rank() -> None:
    events: list[tuple[str, str]] = []
    notices = Notices(lambda reason, message: events.append((reason, message)))
    notices.tell("MEMORY_SHORT", "smaller passes")
    told = notices.untold()
    assert notices.untold() == []
    notices.hear(told, rank=0)
    notices.hear(told, rank=2)
    assert events == [("MEMORY_SHORT", "smaller passes"), ("MEMORY_SHORT", "Rank 2: smaller passes")]


def test_an_example_that_two_ranks_leave_out_counts_once() -> None:
    events: list[tuple[str, str]] = []
    notices = Notices(lambda reason, message: events.append((reason, message)))
    notices.skip("Example 'a' is broken.")
    told = notices.untold()
    notices.hear(told, rank=0)
    notices.hear(told, rank=1)
    assert notices.skipped == 1
    assert events == [(SKIPPED, "Example 'a' is broken. It is left out.")]


def test_many_examples_left_out_are_a_few_events_and_lines_of_the_log() -> None:
    events: list[str] = []
    lines: list[str] = []
    notices = Notices(lambda _, message: events.append(message), lambda _, message: lines.append(message))
    for number in range(MOST_SKIPPED_EVENTS + 5):
        notices.skip(f"Example {number} is broken.")
    notices.hear(notices.untold(), rank=0)
    assert (len(events), len(lines)) == (MOST_SKIPPED_EVENTS, 5)
    assert notices.skipped == MOST_SKIPPED_EVENTS + 5
