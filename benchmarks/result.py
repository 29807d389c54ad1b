"""One measured line: ours beside a peer in the same run.

Every `bench_*.py` has `measure() -> list[Result]`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple


class Took(NamedTuple):
    """Seconds, and seconds of CPU of this process: on a machine that others use these vary less."""

    wall_s: float
    cpu_s: float

    def since(self, start: "Took") -> "Took":
        """What passed from one moment to this one."""
        return Took(self.wall_s - start.wall_s, self.cpu_s - start.cpu_s)


def now() -> Took:
    """The present moment."""
    return Took(time.perf_counter(), time.process_time())


def peak_bytes() -> int:
    """The most that this process had in memory at a time."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


@dataclass(frozen=True, slots=True)
class Result:
    """Medians of interleaved runs."""

    name: str  # what is measured, with the peer's name
    unit: str  # for example `images/s`
    ours: float
    peer: float
    aim: float  # the ratio that we want at least
    less_is_better: bool = False

    @property
    def ratio(self) -> float:
        """Ours over the peer's, or the other way round where less is better: above 1 we are faster."""
        return self.peer / self.ours if self.less_is_better else self.ours / self.peer

    def as_json(self) -> dict[str, Any]:
        """Returns the row of results.json."""
        return {**asdict(self), "ratio": round(self.ratio, 3), "reached": self.ratio >= self.aim}


def interleaved(
    ours: Callable[[], float], peer: Callable[[], float], *, rounds: int = 3
) -> tuple[float, float]:
    """Runs both in turn, since machines drift, and returns the median of each."""
    pairs = [(ours(), peer()) for _ in range(rounds)]
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)


def table(results: Sequence[Result]) -> str:
    """Returns the results as a Markdown table."""
    rows = ["| what | unit | ours | peer | ratio | aim | |", "|---|---|---:|---:|---:|---:|---|"]
    rows += [
        f"| {r.name} | {r.unit} | {_figure(r.ours)} | {_figure(r.peer)} | {r.ratio:.2f} | {r.aim:.2f} | "
        f"{'reached' if r.ratio >= r.aim else 'short'} |"
        for r in results
    ]
    return "\n".join(rows)


def _figure(value: float) -> str:
    return f"{value:,.1f}" if value >= 10 else f"{value:.2f}"
