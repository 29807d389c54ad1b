"""A job as it learns: a live bar on a terminal, one line a change elsewhere."""

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from visiontune import names
from visiontune.cli import views
from visiontune.cli.failures import Failed
from visiontune.cli.progress import seconds
from visiontune.cli.session import Session

if TYPE_CHECKING:
    from visiontune.trainer.v1 import trainer_pb2


@dataclass(slots=True)
class Learning:
    """What a watch has told so far. Pure: it only adds up messages."""

    state: str = ""
    message: str = ""
    phase: str = ""
    step: int = 0
    total_steps: int = 0
    epoch: float = 0.0
    loss: float | None = None
    samples_per_second: float | None = None
    remaining_s: float | None = None
    before: float | None = None
    # Held-out accuracy by step, as it rises.
    accuracy: dict[int, float] = field(default_factory=dict)

    def take(self, update: "trainer_pb2.WatchTrainingJobResponse") -> None:
        """Adds one message."""
        match update.WhichOneof("update"):
            case "training_job":
                self._job(update.training_job)
            case "event":
                self.message = update.event.message
            case "metric":
                self._metric(update.metric)

    @property
    def newest_accuracy(self) -> float | None:
        """Held-out accuracy at the last evaluated step."""
        return self.accuracy[max(self.accuracy)] if self.accuracy else None

    def _job(self, job: "trainer_pb2.TrainingJob") -> None:
        self.state, self.phase = views.state_name(job), job.progress.phase
        self.step, self.total_steps = job.progress.step, job.progress.total_steps
        self.epoch = job.progress.epoch
        known = job.progress.HasField("remaining")
        self.remaining_s = job.progress.remaining.ToTimedelta().total_seconds() if known else None
        self.before = views.accuracy(dict(job.metrics_before))

    def _metric(self, point: "trainer_pb2.MetricPoint") -> None:
        values = dict(point.values)
        self.step = max(self.step, point.step)
        self.loss = values.get("loss", self.loss)
        self.samples_per_second = values.get("samples_per_second", self.samples_per_second)
        measured = views.accuracy(values)
        if measured is not None and point.step > 0:
            self.accuracy[point.step] = measured
        elif measured is not None:
            self.before = measured


def to_the_end(session: Session, job: "trainer_pb2.TrainingJob") -> "trainer_pb2.TrainingJob":
    """Watches until the job ends, prints what came out. Raises Failed unless it SUCCEEDED."""
    ended = watch(session, job.name)
    if session.is_json:
        session.resource(ended)
    else:
        session.say(result(ended))
    require_success(ended)
    return ended


def watch(session: Session, name: str, *, as_lines: bool = False) -> "trainer_pb2.TrainingJob":
    """Follows a job to its end and returns it. With `as_lines` each message is one line of JSON on stdout."""
    short, learning = names.short(name), Learning()
    try:
        with _view(session.err, short, learning) as view:
            for update in session.client.watch_job(name):
                if as_lines:
                    session.line(update)
                learning.take(update)
                view.show(update)
    except KeyboardInterrupt as error:
        raise Failed(
            f"You stopped watching; {short} goes on.", f"Watch again: visiontune job watch {short}"
        ) from error
    return session.client.get_job(name)


def result(job: "trainer_pb2.TrainingJob") -> str:
    """A job that ended, in three lines."""
    before, after = views.accuracy(dict(job.metrics_before)), views.accuracy(dict(job.metrics_after))
    short = names.short(job.name)
    lines = [
        f"[bold]{short}[/] {views.state(job)} after {seconds(views.duration_s(job))}, attempt {job.attempt}"
    ]
    if after is not None:
        lines.append(
            f"held-out accuracy: {views.percent(before)} before, [bold]{views.percent(after)}[/] after"
        )
    if views.state_name(job) == "SUCCEEDED":
        lines.append(f"[dim]Next: visiontune job artifacts {short} --download ./{short}[/]")
    return "\n".join(lines)


def require_success(job: "trainer_pb2.TrainingJob") -> None:
    """Raises Failed unless the job SUCCEEDED."""
    if views.state_name(job) != "SUCCEEDED":
        short = names.short(job.name)
        raise Failed(
            f"{short} {views.state_name(job)}: {job.state_message or job.state_reason or 'no reason given'}",
            f"See: visiontune job logs {short}",
        )


class View(Protocol):
    """Somewhere to show a job."""

    def show(self, update: "trainer_pb2.WatchTrainingJobResponse") -> None:
        """Shows the newest message, which `Learning` holds already."""


@contextlib.contextmanager
def _view(console: Console, name: str, learning: Learning) -> Iterator[View]:
    if not console.is_terminal:
        yield PlainView(console, learning)
        return
    with Live(console=console, refresh_per_second=8, transient=False) as live:
        view = LiveView(live, name, learning)
        yield view
        live.update(view.render())


@dataclass(slots=True)
class LiveView:
    """A bar with the loss, and held-out accuracy as it rises."""

    live: Live
    name: str
    learning: Learning
    started: float = field(default_factory=time.monotonic)

    def show(self, update: "trainer_pb2.WatchTrainingJobResponse") -> None:
        """Redraws."""
        del update
        self.live.update(self.render())

    def render(self) -> Group:
        """The picture now."""
        now = self.learning
        line = Table.grid(padding=(0, 2))
        line.add_row(
            Text.from_markup(f"[bold]{escape(self.name)}[/] {now.state.lower()}"),
            ProgressBar(total=max(now.total_steps, 1), completed=now.step, width=32),
            f"{now.step:,}/{now.total_steps:,}" if now.total_steps else now.phase,
            seconds(time.monotonic() - self.started),
        )
        speed = f"   {now.samples_per_second:,.0f} samples/s" if now.samples_per_second else ""
        loss = "-" if now.loss is None else f"{now.loss:.4f}"
        left = "" if now.remaining_s is None else f"   about {seconds(now.remaining_s)} left"
        return Group(
            line,
            Text(f"  loss {loss}   epoch {now.epoch:.1f}   {now.phase}{speed}{left}"),
            Text(f"  held-out accuracy  {_rise(now)}"),
            Text(f"  {now.message}", style="dim"),
        )


def _rise(learning: Learning) -> str:
    """`6.7 % → 43.0 % → 91.2 %`."""
    measured = [learning.before, *(learning.accuracy[step] for step in sorted(learning.accuracy)[-8:])]
    return " → ".join(views.percent(value) for value in measured if value is not None) or "-"


@dataclass(slots=True)
class PlainView:
    """One line for each event and each evaluation."""

    console: Console
    learning: Learning

    def show(self, update: "trainer_pb2.WatchTrainingJobResponse") -> None:
        """Prints what is worth a line."""
        for line in self._lines(update):
            self.console.print(escape(line), soft_wrap=True)

    def _lines(self, update: "trainer_pb2.WatchTrainingJobResponse") -> Iterable[str]:
        match update.WhichOneof("update"):
            case "event":
                yield f"{update.event.reason}: {update.event.message}"
            case "metric" if (measured := views.accuracy(dict(update.metric.values))) is not None:
                loss = "" if self.learning.loss is None else f", loss {self.learning.loss:.4f}"
                total = f"/{self.learning.total_steps}" if self.learning.total_steps else ""
                yield f"step {update.metric.step}{total}: held-out accuracy {views.percent(measured)}{loss}"
