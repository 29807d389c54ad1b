"""Progress for people, on stderr: a bar on a terminal, one line a finished step elsewhere."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

# (done, total) of whatever is counted; a total of 0 means unknown.
Update = Callable[[int, int], None]


@contextlib.contextmanager
def step(console: Console, label: str) -> Iterator[Update]:
    """Shows one step. On failure the bar stays where it is."""
    start = time.monotonic()
    if console.is_terminal:
        with _bar(console) as bar:
            task = bar.add_task(label, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total or None)
            bar.update(task, total=1, completed=1)
    else:
        yield lambda _done, _total: None
        console.print(f"{label}: {seconds(time.monotonic() - start)}", soft_wrap=True)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=32),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def seconds(duration_s: float) -> str:
    """`3.1 s`, `2 min 5 s`, `1 h 4 min`."""
    if duration_s < 60:
        return f"{duration_s:.1f} s"
    minutes, rest = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def size(count: int) -> str:
    """`1.1 MB`, in powers of 1,000."""
    amount, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.0f} {units[0]}" if units[0] == "B" else f"{amount:.1f} {units[0]}"
