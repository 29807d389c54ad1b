"""Which examples a step sees: a pure function of seed and step, so that resuming needs no memory of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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

    def batches(self, places: NDArray[np.int64], step: int) -> list[list[tuple[int, int]]]:
        """The places of our forward passes of a step, given the places of the step's epoch.

        As few passes as batch_size allows; none when the step has fewer examples than there are ranks.
        """
        within = step % self.steps_per_epoch
        whole = places[within * self.examples_per_step :][: self.examples_per_step]
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
