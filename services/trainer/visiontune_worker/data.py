"""Batches of a split: examples encoded once, put together ahead of the step that needs them."""

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from typing import Any

from PIL.Image import Image

from visiontune_worker.augment import Augment
from visiontune_worker.objectives.objective import Batch, Encoded, Objective
from visiontune_worker.order import Order
from visiontune_worker.shards import Example, Shards

AHEAD = 4


class Examples:
    """Encoded examples of a split by place. Those that fit into `cache_bytes` are encoded once.

    augment: makes another picture of each in every epoch, so that nothing can be kept.
    """

    def __init__(
        self,
        shards: Shards,
        split: str,
        objective: Objective[Any, Any],
        *,
        cache_bytes: int,
        augment: Augment | None = None,
    ) -> None:
        self._augment = augment
        self._shards = shards
        self._split = split
        self.objective = objective
        self._room_bytes = cache_bytes
        self._kept: dict[tuple[int, int], Encoded] = {}

    def at(self, places: Sequence[tuple[int, int]], epoch: int = 0) -> list[Encoded]:
        """The examples at places, each the `nth` of the split within a shard, as that epoch sees them."""
        if self._augment is not None:
            return self._augmented(self._augment, places, epoch)
        found = {place: self._kept[place] for place in places if place in self._kept}
        missing = [place for place in dict.fromkeys(places) if place not in found]
        if missing:
            examples = [self._shards.example(self._split, *place) for place in missing]
            for place, encoded in zip(missing, self.objective.encode(examples), strict=True):
                found[place] = encoded
                self._keep(place, encoded)
        return [found[place] for place in places]

    def _augmented(self, augment: Augment, places: Sequence[tuple[int, int]], epoch: int) -> list[Encoded]:
        def change(picture: Image, example: Example, index: int) -> Image:
            return augment(picture, epoch=epoch, row=example.row, index=index)

        return self.objective.encode([self._shards.example(self._split, *place) for place in places], change)

    def _keep(self, place: tuple[int, int], encoded: Encoded) -> None:
        # Kept ones stay: an epoch reads each example once, so that dropping the oldest would always miss.
        if encoded.size_bytes <= self._room_bytes:
            self._room_bytes -= encoded.size_bytes
            self._kept[place] = encoded


def step_batches(
    examples: Examples, shards: Shards, order: Order, *, start: int, stop: int
) -> Iterator[Sequence[Batch]]:
    """The forward passes of each optimiser step from `start` to before `stop`."""
    epoch = -1
    for step in range(start, stop):
        if step // order.steps_per_epoch != epoch:
            epoch = step // order.steps_per_epoch
            places = order.epoch(epoch)
            shards.prefetch(order.shards_from(places, step))
        yield [examples.objective.collate(examples.at(batch, epoch)) for batch in order.batches(places, step)]


def ahead(
    batches: Callable[[], Iterator[Sequence[Batch]]],
) -> Generator[Sequence[Batch], None, None]:
    """The same batches, made up to AHEAD steps early in a thread. What fails there is raised here."""
    ready: queue.Queue[Sequence[Batch] | BaseException | None] = queue.Queue(maxsize=AHEAD)
    closed = threading.Event()

    def offer(item: Sequence[Batch] | BaseException | None) -> None:
        while not closed.is_set():
            with suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return

    def make() -> None:
        try:
            for each in batches():
                if closed.is_set():
                    return
                offer(each)
            offer(None)
        except BaseException as error:  # noqa: BLE001 - raised again by the reader
            offer(error)

    thread = threading.Thread(target=make, name="batches", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        closed.set()
        thread.join()
