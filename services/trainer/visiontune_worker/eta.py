"""How long an attempt still takes, from what it has measured so far."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from visiontune_recipes.resolve import evaluations_after

# What was measured this long ago counts a third of what is measured now.
MEMORY_S = 60.0


@dataclass(slots=True)
class Eta:
    """Adds up what the rest consists of: steps, evaluations, publishing. What is not known yet is not in it.

    every_steps: an evaluation comes after every so many, and after the last.
    """

    total_steps: int
    every_steps: int
    clock: Callable[[], float] = time.monotonic
    _since: tuple[float, int] | None = None  # when steps were last looked at, and how many were done
    _seconds: float = field(default=0.0)
    _steps: float = field(default=0.0)

    def begin(self, step: int) -> None:
        """Steps follow from here on: what was done since the last look was something else."""
        self._since = self.clock(), step

    def stepped(self, step: int) -> None:
        """Takes note that so many steps are done. Those that wrote a checkpoint took longer, and shall."""
        if self._since is None:
            return
        now, (then, before) = self.clock(), self._since
        fading = math.exp((then - now) / MEMORY_S)
        self._seconds = self._seconds * fading + now - then
        self._steps = self._steps * fading + step - before
        self._since = now, step

    def remaining_s(self, step: int, phase: str, evaluating_s: float, saving_s: float) -> float | None:
        """Seconds until the end; None while no step was measured and some are left.

        evaluating_s: what the last evaluation took. saving_s: what the last checkpoint took to be written and
        stored; publishing takes about as long.
        """
        if phase == "publishing":
            return saving_s or None
        left = self.total_steps - step
        if left and not self._steps:
            return None
        steps_s = left * self._seconds / self._steps if left else 0.0
        to_come = evaluations_after(step, self.total_steps, self.every_steps)
        evaluations = to_come + (phase == "evaluating")
        return steps_s + evaluations * evaluating_s + saving_s
