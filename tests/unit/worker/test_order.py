"""The order of examples depends on seed, epoch and step alone, and misses and repeats nothing."""

from itertools import pairwise

import numpy as np
import pytest
from visiontune_recipes.facts import DatasetFacts
from visiontune_recipes.resolve import steps_per_epoch
from visiontune_recipes.spec import Hyperparameters
from visiontune_worker.order import Order

ORDER = Order(counts=(5, 0, 7, 3), batch_size=4, accumulation=1, seed=3)


def seen(order: Order, steps: range) -> list[tuple[int, int]]:
    return [
        place
        for step in steps
        for batch in order.batches(order.epoch(step // order.steps_per_epoch), step)
        for place in batch
    ]


def test_an_epoch_sees_every_example_once() -> None:
    everything = [(shard, nth) for shard, count in enumerate(ORDER.counts) for nth in range(count)]
    assert sorted(seen(ORDER, range(ORDER.steps_per_epoch))) == everything


def test_epochs_and_seeds_differ_and_repeat_themselves() -> None:
    assert np.array_equal(ORDER.epoch(1), ORDER.epoch(1))
    assert not np.array_equal(ORDER.epoch(0), ORDER.epoch(1))
    other = Order(ORDER.counts, 4, 1, seed=4)
    assert not np.array_equal(ORDER.epoch(0), other.epoch(0))


def test_a_shard_is_read_whole_before_the_next() -> None:
    shards = [shard for shard, _ in seen(ORDER, range(ORDER.steps_per_epoch))]
    changes = sum(before != after for before, after in pairwise(shards))
    assert changes == 2
    assert list(ORDER.shards_from(ORDER.epoch(0), 0)) == list(dict.fromkeys(shards))


def test_what_is_left_needs_only_the_shards_that_are_left() -> None:
    last = ORDER.steps_per_epoch - 1
    assert len(ORDER.shards_from(ORDER.epoch(0), last)) == 1


@pytest.mark.parametrize("accumulation", [1, 2, 3])
def test_accumulation_cuts_the_same_examples_into_more_passes(accumulation: int) -> None:
    order = Order((30,), batch_size=4, accumulation=accumulation, seed=3)
    whole = Order((30,), batch_size=4 * accumulation, accumulation=1, seed=3)
    steps = range(order.steps_per_epoch)
    assert seen(order, steps) == seen(whole, steps)
    assert [len(batch) for batch in order.batches(order.epoch(0), 0)] == [4] * accumulation


@pytest.mark.parametrize(("examples", "batch", "accumulation"), [(1, 4, 1), (8, 4, 1), (9, 4, 1), (9, 2, 2)])
def test_steps_agree_with_what_the_recipe_counted(examples: int, batch: int, accumulation: int) -> None:
    numbers = Hyperparameters(batch_size=batch, gradient_accumulation_steps=accumulation)
    order = Order((examples,), batch, accumulation, seed=0)
    assert order.steps_per_epoch == steps_per_epoch(numbers, DatasetFacts(frozenset(), {"train": examples}))


def test_the_epoch_grows_with_the_steps_and_is_whole_at_its_end() -> None:
    assert [ORDER.epoch_at(step) for step in (0, 1, 4, 5, 8)] == pytest.approx([0, 4 / 15, 1, 1 + 4 / 15, 2])
