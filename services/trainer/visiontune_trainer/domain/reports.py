"""What a worker says while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from visiontune_trainer.domain.job import Progress

# A job keeps this many lines; what comes after is dropped, and the last line says so.
MOST_LOG_LINES = 20_000
LONGEST_LOG_LINE = 4_000
_EVAL = "eval_"


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """Values measured at one step."""

    job: str
    step: int
    epoch: float
    values: Mapping[str, float]
    at: datetime
    attempt: int
    change: int = 0

    def after(self, earlier: "MetricPoint | None") -> "MetricPoint":
        """Returns the point to keep: values of one attempt join, those of an older attempt go."""
        if earlier is None or earlier.attempt != self.attempt:
            return self
        values = {**earlier.values, **self.values}
        return MetricPoint(self.job, self.step, self.epoch, values, self.at, self.attempt, self.change)

    def evaluation(self) -> dict[str, float]:
        """Returns the values of an evaluation under their plain names; empty when it has none."""
        return {
            name.removeprefix(_EVAL): value for name, value in self.values.items() if name.startswith(_EVAL)
        }


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a worker logged."""

    job: str
    at: datetime
    level: str
    message: str
    attempt: int
    sequence: int = 0
    change: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """What the model says about one held-out example."""

    job: str
    position: int  # row order of its example
    example: str
    prompt: str
    expected: str
    before: str
    after: str
    after_step: int

    def over(self, earlier: "Sample | None") -> "Sample":
        """Returns the sample to keep: an empty `before` does not erase a known one."""
        if earlier is None or self.before:
            return self
        return Sample(
            self.job,
            self.position,
            self.example,
            self.prompt,
            self.expected,
            earlier.before,
            self.after,
            self.after_step,
        )


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a worker answered by itself."""

    reason: str
    message: str


class Order(StrEnum):
    """What a worker is told in answer to a report; values as in worker.proto without the prefix."""

    CONTINUE = "CONTINUE"
    PAUSE = "PAUSE"
    CANCEL = "CANCEL"


@dataclass(frozen=True, slots=True)
class Report:
    """One report of an attempt; an empty one is a heartbeat."""

    attempt: str  # the attempt's name
    sequence: int
    progress: Progress | None = None
    metrics: tuple[MetricPoint, ...] = ()
    log_lines: tuple[LogLine, ...] = ()
    samples: tuple[Sample, ...] = ()
    metrics_before: Mapping[str, float] = field(default_factory=dict)
    base_revision: str = ""
    notices: tuple[Notice, ...] = ()
