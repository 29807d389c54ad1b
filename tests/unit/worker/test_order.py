"""The order of examples depends on seed, epoch and step alone, and misses and repeats nothing."""

from dataclasses import replace
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


# Five shards of unlike examples; the last step of an epoch is not full.
LONG = Order(counts=(40, 0, 33, 37, 12), batch_size=4, accumulation=2, seed=3)
LENGTHS = [np.random.default_rng(shard).integers(5, 500, count) for shard, count in enumerate(LONG.counts)]


def grouped(order: Order, start: int, stop: int) -> list[list[tuple[int, int]]]:
    steps = order.steps(start, stop, LENGTHS.__getitem__)
    return [[place for each in step.passes for place in each] for step in steps]


def test_grouped_by_length_an_epoch_sees_every_example_once_and_another_order_each_time() -> None:
    everything = [(shard, nth) for shard, count in enumerate(LONG.counts) for nth in range(count)]
    length = LONG.steps_per_epoch
    epochs = [grouped(LONG, number * length, (number + 1) * length) for number in range(2)]
    for epoch in epochs:
        assert sorted(place for step in epoch for place in step) == everything
        assert [len(step) for step in epoch] == [8] * (length - 1) + [2]
    assert epochs[0] != epochs[1]


def test_grouped_steps_hold_examples_of_like_length() -> None:
    def filled_up(steps: list[list[tuple[int, int]]]) -> int:
        longs = [[int(LENGTHS[shard][nth]) for shard, nth in step] for step in steps]
        return sum(max(long) * len(long) - sum(long) for long in longs)

    epoch = LONG.steps_per_epoch
    plain = [[place for each in step.passes for place in each] for step in LONG.steps(0, epoch)]
    assert filled_up(grouped(LONG, 0, epoch)) < filled_up(plain) / 2
    # Neither the longest first nor the shortest: steps keep an order of their own.
    means = [np.mean([LENGTHS[shard][nth] for shard, nth in step]) for step in grouped(LONG, 0, epoch)]
    assert means != sorted(means)
    assert means != sorted(means, reverse=True)


@pytest.mark.parametrize("start", [1, 7, LONG.steps_per_epoch - 1, LONG.steps_per_epoch])
def test_a_grouped_order_goes_on_at_any_step_as_it_would_have(start: int) -> None:
    stop = 2 * LONG.steps_per_epoch
    assert grouped(LONG, start, stop) == grouped(LONG, 0, stop)[start:]


def test_a_grouped_order_asks_for_the_lengths_of_the_shards_of_its_window_alone() -> None:
    asked: list[int] = []

    def lengths(shard: int) -> np.ndarray:
        asked.append(shard)
        return LENGTHS[shard]

    next(LONG.steps(0, 1, lengths))
    assert len(asked) <= 2
    assert LONG.window_steps == 3


@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_a_grouped_step_is_the_same_on_any_number_of_ranks(ranks: int) -> None:
    stop = LONG.steps_per_epoch + 2
    parts = [grouped(replace(LONG, rank=rank, ranks=ranks), 0, stop) for rank in range(ranks)]
    together = [[place for ours in step for place in ours] for step in zip(*parts, strict=True)]
    assert together == grouped(LONG, 0, stop)


def test_a_rank_has_no_pass_when_a_step_has_fewer_examples_than_ranks() -> None:
    [first, last] = [Order((5,), batch_size=4, accumulation=1, seed=3, rank=rank, ranks=2) for rank in (0, 1)]
    assert first.batches(first.epoch(0), 1) == []
    assert len(last.batches(last.epoch(0), 1)) == 1
