"""What is told is numbered, repeated until stored, and bounded."""

import protovalidate
from visiontune_worker.claim import Sample
from visiontune_worker.reports import MOST_IN_REPORT, MOST_LOG_LINES, MOST_UNACKNOWLEDGED, Outbox

ATTEMPT = "projects/p/trainingJobs/j/attempts/1"


def test_nothing_to_tell_is_no_report_unless_a_heartbeat_is_due() -> None:
    outbox = Outbox(ATTEMPT)
    assert outbox.next(heartbeat=False) is None
    beat = outbox.next(heartbeat=True)
    assert beat is not None
    assert (beat.attempt, beat.sequence) == (ATTEMPT, 1)
    assert not beat.HasField("progress")


def test_a_report_carries_everything_once_and_only_the_newest_progress() -> None:
    outbox = Outbox(ATTEMPT)
    outbox.progress(step=1, total_steps=9, epoch=0.1, phase="training")
    outbox.progress(step=2, total_steps=9, epoch=0.2, phase="training", remaining_s=1.5)
    outbox.metrics(step=2, epoch=0.2, values={"loss": 1.0})
    outbox.log("info", "hello")
    outbox.samples([Sample("e", "p", "x", "b", "a", 2)])
    outbox.metrics_before({"loss": 2.0})
    outbox.notice("MEMORY_SHORT", "smaller passes")
    report = outbox.next(heartbeat=False)
    assert report is not None
    protovalidate.validate(report)
    assert [(each.reason, each.message) for each in report.notices] == [("MEMORY_SHORT", "smaller passes")]
    assert report.log_lines[1].message == "smaller passes"
    assert (report.progress.step, report.progress.remaining.ToMilliseconds()) == (2, 1500)
    assert dict(report.metrics[0].values) == {"loss": 1.0}
    assert (report.log_lines[0].message, report.samples[0].after) == ("hello", "a")
    assert dict(report.metrics_before) == {"loss": 2.0}
    assert outbox.next(heartbeat=False) is None
    assert not outbox.empty()
    outbox.acknowledge(1)
    assert outbox.empty()


def test_what_is_not_stored_is_repeated_as_it_was() -> None:
    outbox = Outbox(ATTEMPT)
    sent = []
    for step in range(3):
        outbox.metrics(step=step, epoch=0, values={"loss": step})
        sent.append(outbox.next(heartbeat=False))
    outbox.acknowledge(1)
    assert outbox.unacknowledged() == sent[1:]


def test_a_report_never_exceeds_what_the_trainer_takes() -> None:
    outbox = Outbox(ATTEMPT)
    long = "💡" * 20_000
    outbox.samples([Sample(f"e{number}", long, long, long, long, 1) for number in range(64)])
    outbox.metrics_before({"loss": 1.0})
    for step in range(3000):
        outbox.metrics(step=step, epoch=0, values={f"{name}{'x' * 90}": 1.0 for name in range(20)})
        outbox.log("error", long)
    steps, lines, sequence = 0, 0, 0
    while (report := outbox.next(heartbeat=False)) is not None:
        assert report.ByteSize() < 4 * 1024 * 1024
        if sequence == 0:
            protovalidate.validate(report)
            assert len(report.samples) == 64
            assert report.samples[0].prompt == long[: len(report.samples[0].prompt)]
        steps, lines, sequence = steps + len(report.metrics), lines + len(report.log_lines), sequence + 1
        outbox.acknowledge(sequence)
    assert (steps, lines) == (3000, 3000)


def test_only_so_many_reports_are_under_way() -> None:
    outbox = Outbox(ATTEMPT)
    for _ in range(MOST_UNACKNOWLEDGED):
        assert outbox.next(heartbeat=True) is not None
    assert outbox.next(heartbeat=True) is None
    outbox.acknowledge(1)
    assert outbox.next(heartbeat=True) is not None


def test_a_long_absence_is_told_in_reports_of_the_allowed_size_and_keeps_every_metric() -> None:
    outbox = Outbox(ATTEMPT)
    for step in range(2500):
        outbox.metrics(step=step, epoch=0, values={"loss": 0.0})
    for number in range(MOST_LOG_LINES + 10):
        outbox.log("info", str(number))
    steps, first_line, sequence = [], None, 0
    while (report := outbox.next(heartbeat=False)) is not None:
        sequence += 1
        assert max(len(report.metrics), len(report.log_lines)) <= MOST_IN_REPORT
        first_line = first_line or report.log_lines[0].message
        steps += [point.step for point in report.metrics]
        outbox.acknowledge(sequence)
    assert steps == list(range(2500))
    assert first_line == "10"
