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


@pytest.mark.parametrize("ranks", [2, 3, 8])
@pytest.mark.parametrize("accumulation", [1, 4])
def test_the_parts_of_all_ranks_are_the_step_of_one_process(ranks: int, accumulation: int) -> None:
    alone = Order((30, 7), batch_size=4, accumulation=accumulation, seed=3)
    parts = [Order((30, 7), 4, accumulation, seed=3, rank=rank, ranks=ranks) for rank in range(ranks)]
    for step in range(2 * alone.steps_per_epoch):
        together = [seen(each, range(step, step + 1)) for each in parts]
        assert [place for each in together for place in each] == seen(alone, range(step, step + 1))
        assert max(map(len, together)) - min(map(len, together)) <= 1
        passes = [each.batches(each.epoch(step // each.steps_per_epoch), step) for each in parts]
        assert all(len(batch) <= 4 for each in passes for batch in each)


def test_a_rank_has_no_pass_when_a_step_has_fewer_examples_than_ranks() -> None:
    [first, last] = [Order((5,), batch_size=4, accumulation=1, seed=3, rank=rank, ranks=2) for rank in (0, 1)]
    assert first.batches(first.epoch(0), 1) == []
    assert len(last.batches(last.epoch(0), 1)) == 1
