"""What a worker says while it runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from visiontune_trainer.domain.job import Progress

# An attempt and a job keep this many lines; what comes after is dropped, and the last line says so.
MOST_LOG_LINES = 20_000
MOST_LOG_LINES_OF_JOB = 100_000
LONGEST_LOG_LINE = 4_000
# Steps of which a job keeps the answers to its samples; evenly spread once there were more.
MOST_ANSWERS = 100
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
        """Returns the point to keep: this one's values, and those of an earlier one that it does not have.

        That may be an older attempt's: one that goes on at a step measures there what was not measured yet.
        """
        if earlier is None:
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
        return self if earlier is None or self.before else replace(self, before=earlier.before)

    def answer(self, first_step: int) -> "SampleAnswer":
        """Returns what the model said, which at the first step is the untrained one."""
        text = self.before if self.after_step == first_step else self.after
        return SampleAnswer(self.job, self.example, self.after_step, text)


@dataclass(frozen=True, slots=True)
class SampleAnswer:
    """What the model said about a held-out example at one step."""

    job: str
    example: str
    step: int
    text: str


def to_thin(steps: Sequence[int]) -> list[int]:
    """Returns the steps to forget: every second of those in between, once there are more than are kept."""
    ordered = sorted(steps)
    return ordered[1:-1:2] if len(ordered) > MOST_ANSWERS else []


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
