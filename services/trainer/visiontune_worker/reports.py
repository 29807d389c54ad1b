"""What the worker has to tell and the trainer has not stored yet: collected, numbered, bounded."""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from visiontune.trainer.v1 import trainer_pb2
from visiontune.worker.v1 import worker_pb2

from visiontune_worker.claim import Sample, sample_to

# What one report may carry (trainer.proto, worker.proto), and how much is kept while the trainer is away.
MOST_IN_REPORT = 1000
MOST_REPORT_BYTES = 3_500_000  # gRPC takes 4 MiB; one that is refused would be sent again for ever
LONGEST_LINE = 4_000  # characters
LONGEST_SAMPLE_TEXT_BYTES = 8_192
MOST_METRICS = 200_000
MOST_LOG_LINES = 10_000
MOST_NOTICES = 100
MOST_SAMPLE_SETS = 100
# Reports under way at a time: enough to hide the answer's delay, few enough to repeat cheaply.
MOST_UNACKNOWLEDGED = 4
_FRAME_BYTES = 8  # tag and length of a message within another
T = TypeVar("T", bound=Message)


class Outbox:
    """Collects what is told from any thread and yields numbered reports until they are acknowledged.

    A report keeps its number and content once made, so that the trainer can tell a repetition.
    While the trainer is away the oldest log lines are dropped first; metrics are kept up to MOST_METRICS.
    """

    def __init__(self, attempt: str) -> None:
        self._attempt = attempt
        self._lock = threading.Lock()
        self._sequence = 0
        self._unacknowledged: deque[worker_pb2.ReportRequest] = deque()
        self._progress: trainer_pb2.Progress | None = None
        self._metrics: deque[trainer_pb2.MetricPoint] = deque(maxlen=MOST_METRICS)
        self._lines: deque[trainer_pb2.LogLine] = deque(maxlen=MOST_LOG_LINES)
        self._notices: deque[worker_pb2.Notice] = deque(maxlen=MOST_NOTICES)
        self._samples: deque[Sequence[Sample]] = deque(maxlen=MOST_SAMPLE_SETS)
        self._before: Mapping[str, float] = {}
        self._base_revision = ""
        # Whoever else wants to hear of values as they are measured.
        self.mirror: Callable[[int, Mapping[str, float]], None] = lambda _step, _values: None

    def progress(
        self,
        *,
        step: int,
        total_steps: int,
        epoch: float,
        phase: str,
        remaining_s: float | None = None,
        best: trainer_pb2.BestEvaluation | None = None,
    ) -> None:
        """Says how far the attempt is; only the newest is sent."""
        progress = trainer_pb2.Progress(
            step=step, total_steps=total_steps, epoch=epoch, phase=phase, best=best
        )
        if remaining_s is not None:
            progress.remaining.FromMilliseconds(round(remaining_s * 1000))
        with self._lock:
            self._progress = progress

    def metrics(self, *, step: int, epoch: float, values: Mapping[str, float]) -> None:
        """Adds values measured at a step."""
        point = trainer_pb2.MetricPoint(step=step, epoch=epoch, values=values, time=timestamp())
        with self._lock:
            self._metrics.append(point)
        self.mirror(step, values)

    def log(self, level: str, message: str) -> None:
        """Adds a line to the job's log."""
        line = trainer_pb2.LogLine(level=level, message=message[:LONGEST_LINE], time=timestamp())
        with self._lock:
            self._lines.append(line)

    def notice(self, reason: str, message: str) -> None:
        """Adds an event of the job, which is a line of its log too."""
        message = message[:LONGEST_LINE]
        with self._lock:
            self._notices.append(worker_pb2.Notice(reason=reason, message=message))
        self.log("warning", message)

    def samples(self, samples: Sequence[Sample]) -> None:
        """Says what the model answers to the held-out examples at a step; each report takes one set."""
        if samples:
            with self._lock:
                self._samples.append(samples)

    def metrics_before(self, values: Mapping[str, float]) -> None:
        """Says how the untrained model did."""
        with self._lock:
            self._before = dict(values)

    def base_revision(self, commit: str) -> None:
        """Says which commit of its repository the base model is."""
        with self._lock:
            self._base_revision = commit

    def unacknowledged(self) -> list[worker_pb2.ReportRequest]:
        """Reports under way, oldest first: what a new connection has to repeat."""
        with self._lock:
            return list(self._unacknowledged)

    def next(self, *, heartbeat: bool) -> worker_pb2.ReportRequest | None:
        """The next report; None when there is nothing to tell and no heartbeat is due."""
        with self._lock:
            full = len(self._unacknowledged) >= MOST_UNACKNOWLEDGED
            if full or not (heartbeat or self._something()):
                return None
            self._sequence += 1
            report = worker_pb2.ReportRequest(
                attempt=self._attempt,
                sequence=self._sequence,
                progress=self._progress,
                samples=[
                    _cut(sample_to(each)) for each in (self._samples.popleft() if self._samples else ())
                ],
                metrics_before=self._before,
                base_revision=self._base_revision,
            )
            report.notices.extend(_take(self._notices, MOST_REPORT_BYTES - report.ByteSize()))
            report.metrics.extend(_take(self._metrics, MOST_REPORT_BYTES - report.ByteSize()))
            report.log_lines.extend(_take(self._lines, MOST_REPORT_BYTES - report.ByteSize()))
            self._progress, self._before, self._base_revision = None, {}, ""
            self._unacknowledged.append(report)
            return report

    def acknowledge(self, sequence: int) -> None:
        """Forgets reports up to this number: they are stored."""
        with self._lock:
            while self._unacknowledged and self._unacknowledged[0].sequence <= sequence:
                self._unacknowledged.popleft()

    def empty(self) -> bool:
        """True when everything that was told is stored."""
        with self._lock:
            return not self._unacknowledged and not self._something()

    def _something(self) -> bool:
        return bool(
            self._progress is not None
            or self._metrics
            or self._lines
            or self._notices
            or self._samples
            or self._before
            or self._base_revision
        )


def timestamp(moment: datetime | None = None) -> Timestamp:
    """A moment, by default now, as a protobuf timestamp."""
    result = Timestamp()
    result.FromDatetime(moment or datetime.now(UTC))
    return result


def _take(things: deque[T], most_bytes: int) -> list[T]:
    taken: list[T] = []
    while things and len(taken) < MOST_IN_REPORT:
        most_bytes -= things[0].ByteSize() + _FRAME_BYTES
        if most_bytes < 0:
            break
        taken.append(things.popleft())
    return taken


def _cut(sample: trainer_pb2.Sample) -> trainer_pb2.Sample:
    """The sample with texts as long as the proto allows; a character is not cut in two."""
    for name in ("prompt", "expected", "before", "after"):
        text = getattr(sample, name).encode()[:LONGEST_SAMPLE_TEXT_BYTES]
        setattr(sample, name, text.decode(errors="ignore"))
    return sample
