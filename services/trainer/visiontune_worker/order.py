"""Which examples a step sees: a pure function of seed, step and lengths, so that resuming needs no memory."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Steps among which examples of like length are brought together, at most.
MOST_WINDOW_STEPS = 50
# Tells what this seed draws here from what it draws for the order of an epoch.
_STREAM = 0x6C656E
# Lengths of a shard's examples of the split, in their order; any unit, only which is longer counts.
Lengths = Callable[[int], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Step:
    """What our rank has to do for an optimiser step."""

    number: int
    epoch: int
    passes: Sequence[Sequence[tuple[int, int]]]  # places of the examples of each forward pass


@dataclass(frozen=True, slots=True)
class Order:
    """The order of a split over all epochs.

    counts: examples of the split in each shard. In every epoch the shards are shuffled anew, and the examples
    within each, so that one shard after another is read whole.

    rank, ranks: which part of each step is ours. All parts together are the step of one process, so that what
    a step sees does not depend on the number of processes.
    """

    counts: tuple[int, ...]
    batch_size: int
    accumulation: int
    seed: int
    rank: int = 0
    ranks: int = 1

    @property
    def examples(self) -> int:
        """Examples in an epoch."""
        return sum(self.counts)

    @property
    def examples_per_step(self) -> int:
        """Examples that a step sees, unless the epoch ends with it."""
        return self.batch_size * self.accumulation

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in an epoch; the last may see fewer examples."""
        return max(1, math.ceil(self.examples / self.examples_per_step))

    def epoch_at(self, step: int) -> float:
        """Epochs done after `step` steps, with the part of the current one."""
        whole, rest = divmod(step, self.steps_per_epoch)
        return whole + min(1.0, rest * self.examples_per_step / max(1, self.examples))

    def epoch(self, number: int) -> NDArray[np.int64]:
        """Shape [examples, 2]: index of the shard, and place among the shard's examples of the split."""
        rng = np.random.Generator(np.random.PCG64([self.seed, number]))
        shards = rng.permutation(len(self.counts))
        parts = [
            np.stack([np.full(self.counts[shard], shard), rng.permutation(self.counts[shard])], axis=1)
            for shard in shards
        ]
        return np.concatenate(parts) if parts else np.empty((0, 2), np.int64)

    @property
    def window_steps(self) -> int:
        """Steps among which examples of like length are brought together: about a shard of examples.

        More would have many shards open at a time, since neighbours then come from all over the window.
        """
        filled = [count for count in self.counts if count]
        mean = sum(filled) // max(1, len(filled))
        return max(1, min(MOST_WINDOW_STEPS, mean // self.examples_per_step))

    def grouped(self, places: NDArray[np.int64], epoch: int, window: int, lengths: Lengths) -> None:
        """Rearranges, in place, the places of one window of an epoch so that each step's are of like length.

        A step that is not full, the last of an epoch, keeps its examples: else it would have the longest.
        """
        size = self.window_steps * self.examples_per_step
        ours = places[window * size :][:size]
        full = len(ours) - len(ours) % self.examples_per_step
        by_shard = {int(shard): lengths(int(shard)) for shard in np.unique(ours[:full, 0])}
        long = np.array([by_shard[int(shard)][int(nth)] for shard, nth in ours[:full]])
        steps = np.argsort(long, kind="stable").reshape(-1, self.examples_per_step)
        rng = np.random.Generator(np.random.PCG64([self.seed, _STREAM, epoch, window]))
        ours[:full] = ours[rng.permutation(steps).reshape(-1)]

    def steps(self, start: int, stop: int, lengths: Lengths | None = None) -> Iterator[Step]:
        """Our part of each step from `start` to before `stop`; with lengths, grouped by them."""
        epoch, window = -1, -1
        for step in range(start, stop):
            if step // self.steps_per_epoch != epoch:
                epoch, window = step // self.steps_per_epoch, -1
                places = self.epoch(epoch)
            if lengths is not None and step % self.steps_per_epoch // self.window_steps != window:
                window = step % self.steps_per_epoch // self.window_steps
                self.grouped(places, epoch, window, lengths)
            yield Step(step, epoch, self.batches(places, step))

    def step_places(self, step: int, lengths: Lengths | None = None) -> NDArray[np.int64]:
        """The places of a step of all ranks together."""
        epoch, within = divmod(step, self.steps_per_epoch)
        places = self.epoch(epoch)
        if lengths is not None:
            self.grouped(places, epoch, within // self.window_steps, lengths)
        return self.whole(places, step)

    def whole(self, places: NDArray[np.int64], step: int) -> NDArray[np.int64]:
        """The places of a step of all ranks together, given those of its epoch."""
        within = step % self.steps_per_epoch
        return places[within * self.examples_per_step :][: self.examples_per_step]

    def batches(self, places: NDArray[np.int64], step: int) -> list[list[tuple[int, int]]]:
        """The places of our forward passes of a step, given the places of the step's epoch.

        As few passes as batch_size allows; none when the step has fewer examples than there are ranks.
        """
        whole = self.whole(places, step)
        ours = whole[part(len(whole), self.rank, self.ranks)]
        return [
            [(int(shard), int(nth)) for shard, nth in ours[start : start + self.batch_size]]
            for start in range(0, len(ours), self.batch_size)
        ]

    def shards_from(self, places: NDArray[np.int64], step: int) -> Sequence[int]:
        """Shards in the order in which the rest of the epoch needs them."""
        within = step % self.steps_per_epoch
        rest = places[within * self.examples_per_step :, 0]
        return [int(shard) for shard in dict.fromkeys(rest.tolist())]


def part(size: int, rank: int, ranks: int) -> slice:
    """A rank's part of so many: neighbours, and at most one more than any other rank has."""
    return slice(rank * size // ranks, (rank + 1) * size // ranks)
