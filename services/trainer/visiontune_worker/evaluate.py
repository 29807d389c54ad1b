"""Measures a model on held-out examples: what it says when asked, compared with the answer in the data."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from visiontune_worker.build import Built
from visiontune_worker.claim import Sample
from visiontune_worker.data import Examples
from visiontune_worker.objectives.objective import Encoded, Objective, Result
from visiontune_worker.order import part
from visiontune_worker.ranks import Ranks

LARGEST_BATCH = 128
# Examples held in memory at a time, in batches.
WINDOW_BATCHES = 8


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The examples that a model is measured on, always the same ones of a version."""

    examples: Examples
    places: Sequence[tuple[int, int]]

    def batches(self, size: int, ranks: Ranks) -> Iterator[list[Encoded]]:
        """A rank's part, examples of like length together within a window, so that little is padded."""
        ours = self.places[part(len(self.places), ranks.rank, ranks.count)]
        window = WINDOW_BATCHES * size
        for first in range(0, len(ours), window):
            places = ours[first : first + window]
            encoded = sorted(self.examples.at(places), key=lambda each: each.length)
            yield from (encoded[start : start + size] for start in range(0, len(encoded), size))


@dataclass(frozen=True, slots=True)
class _Batches:
    """A rank's batches, as often as they are gone through."""

    held_out: HeldOut
    size: int
    ranks: Ranks
    check: Callable[[], None]

    def __iter__(self) -> Iterator[list[Encoded]]:
        for each in self.held_out.batches(self.size, self.ranks):
            self.check()
            yield each


def held_out_places(counts: Sequence[int], most: int | None) -> list[tuple[int, int]]:
    """Places of the validation split in order; when only some are wanted, evenly spread ones."""
    places = [(shard, nth) for shard, count in enumerate(counts) for nth in range(count)]
    if most is None or most >= len(places):
        return places
    return [places[index * len(places) // most] for index in range(most)]


def evaluate(
    built: Built,
    held_out: HeldOut,
    *,
    batch_size: int,
    ranks: Ranks,
    check: Callable[[], None] = lambda: None,
) -> Result:
    """What the objective measures on the held-out examples.

    Each rank measures its part, and all get the whole. check: called between batches and while waiting for
    the others, may raise to stop. Leaves the model in evaluation mode.
    """
    objective = held_out.examples.objective
    batches = _Batches(held_out, min(LARGEST_BATCH, 4 * batch_size), ranks, check)
    built.model.eval()
    if built.sharded:
        spare = held_out.examples.first(held_out.places, 1)
        ours = _measure_together(built, objective, list(batches), spare, ranks)
    else:
        with torch.inference_mode(), built.autocast():
            ours = objective.measure(built.model, batches)
    return objective.result(ranks.exchange(ours, check))


def _measure_together(
    built: Built,
    objective: Objective[Any, Any],
    batches: Sequence[list[Encoded]],
    spare: list[Encoded],
    ranks: Ranks,
) -> Mapping[str, Any]:
    """As `measure`, where all ranks have to make the same passes: who has fewer makes some for nothing."""
    most = max(ranks.exchange(len(batches)))
    with torch.no_grad(), built.autocast():
        ours = objective.measure(built.model, batches)
        for _ in range(most - len(batches)):
            objective.measure(built.model, [spare])
    return ours


def samples(
    held_out: HeldOut, count: int, before: Mapping[str, str], after: Mapping[str, str], step: int
) -> list[Sample]:
    """What the model said and says about the first `count` held-out examples."""
    return [
        Sample(
            each.name, each.prompt, each.expected, before.get(each.name, ""), after.get(each.name, ""), step
        )
        for each in held_out.examples.at(held_out.places[:count])
    ]
