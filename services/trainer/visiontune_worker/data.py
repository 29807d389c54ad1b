"""Batches of a split: examples encoded once, put together ahead of the step that needs them."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, islice
from typing import Any

from visiontune_worker.augment import Augment
from visiontune_worker.faults import DataFault
from visiontune_worker.features import Features
from visiontune_worker.objectives.objective import Batch, Change, Encoded, Objective
from visiontune_worker.order import Lengths, Order, Step
from visiontune_worker.shards import Example, Shards

AHEAD = 4
Place = tuple[int, int]


class Examples:
    """Encoded examples of a split by place. Those that fit into `cache_bytes` are encoded once.

    augment: makes another picture of each in every epoch, so that nothing can be kept.
    features: takes the place of pictures; those that are kept are read when they are needed.
    on_bad: is told, once an example, what is wrong with one that then is left out. None: the fault is raised.
    Safe from any thread.
    """

    def __init__(
        self,
        shards: Shards,
        split: str,
        objective: Objective[Any, Any],
        *,
        cache_bytes: int,
        augment: Augment | None = None,
        features: Features | None = None,
        on_bad: Callable[[str], None] | None = None,
    ) -> None:
        self._augment = augment
        self._features = features
        self._on_bad = on_bad
        self._shards = shards
        self._split = split
        self.objective = objective
        self._lock = threading.Lock()
        self._room_bytes = cache_bytes
        # With the keys of the features that it lacks, if any.
        self._kept: dict[Place, tuple[Encoded, Sequence[str]]] = {}
        self._bad: set[Place] = set()

    @property
    def keeps_features(self) -> bool:
        """True when features take the place of pictures."""
        return self._features is not None

    def at(self, places: Sequence[Place], epoch: int = 0) -> list[Encoded]:
        """The examples at places, each the `nth` of the split within a shard, as that epoch sees them."""
        found = {place: kept for place in places if (kept := self._kept_at(place)) is not None}
        missing = [place for place in dict.fromkeys(places) if place not in found and place not in self._bad]
        if missing:
            examples = [self._shards.example(self._split, *place) for place in missing]
            for place, example, encoded in zip(missing, examples, self._encode(examples, epoch), strict=True):
                if isinstance(encoded, DataFault):
                    self._leave_out(place, encoded)
                else:
                    found[place] = self._finished(place, example, encoded)
        return [self.objective.seen(found[place], epoch) for place in places if place in found]

    def batches(self, step: Step) -> list[Batch]:
        """The forward passes of a step; none of a pass without a good example."""
        passes = [self.at(places, step.epoch) for places in step.passes]
        return [self.objective.collate(each) for each in passes if each]

    def first(self, places: Iterable[Place], count: int) -> list[Encoded]:
        """As many good examples, those that come first at places, as the first epoch sees them."""
        return list(islice(chain.from_iterable(self.at([place]) for place in places), count))

    def _encode(self, examples: Sequence[Example], epoch: int) -> Sequence[Encoded | DataFault]:
        """Each as a tensor, or what is wrong with it where bad ones are left out."""
        try:
            return self.objective.encode(examples, change_in(epoch, self._augment))
        except DataFault as fault:
            if self._on_bad is None:
                raise
            if len(examples) == 1:
                return [fault]
        return [encoded for example in examples for encoded in self._encode([example], epoch)]

    def _leave_out(self, place: Place, fault: DataFault) -> None:
        with self._lock:
            if place in self._bad:
                return
            self._bad.add(place)
        if self._on_bad is not None:
            self._on_bad(fault.message)

    def _finished(self, place: Place, example: Example, encoded: Encoded) -> Encoded:
        keys: Sequence[str] = ()
        if self._features is not None:
            encoded, keys = self._features.in_place(encoded, example)
        if self._augment is None:
            self._keep(place, encoded, keys)
        return encoded

    def _keep(self, place: Place, encoded: Encoded, keys: Sequence[str]) -> None:
        if keys:
            encoded = Features.without(encoded)
        with self._lock:
            # Kept ones stay: an epoch reads each example once, so that dropping the oldest would always miss.
            if place not in self._kept and encoded.size_bytes <= self._room_bytes:
                self._room_bytes -= encoded.size_bytes
                self._kept[place] = encoded, keys

    def _kept_at(self, place: Place) -> Encoded | None:
        encoded, keys = self._kept.get(place, (None, ()))
        if encoded is None or not keys or self._features is None:
            return encoded
        return self._features.again(encoded, keys)


def change_in(epoch: int, augment: Augment | None) -> Change | None:
    """What becomes of pictures in an epoch."""
    if augment is None:
        return None
    return lambda picture, example, index: augment(picture, epoch=epoch, row=example.row, index=index)


def plan(
    shards: Shards, order: Order, *, start: int, stop: int, lengths: Lengths | None = None
) -> Iterator[Step]:
    """What our rank has to do at each step from `start` to before `stop`; shards are fetched ahead of it."""
    epoch = -1
    for step in order.steps(start, stop, lengths):
        if step.epoch != epoch:
            epoch = step.epoch
            shards.prefetch(order.shards_from(order.epoch(epoch), step.number))
        yield step


def ahead(
    steps: Callable[[], Iterator[Step]], make: Callable[[Step], Sequence[Batch]], *, workers: int = 1
) -> Generator[Sequence[Batch], None, None]:
    """What `make` makes of each step, in order, made up to AHEAD + `workers` steps early by so many threads.

    0 of them: made when it is asked for. What fails there is raised here.
    """
    if not workers:
        yield from map(make, steps())
        return
    ready: queue.Queue[Future[Sequence[Batch]] | BaseException | None] = queue.Queue(
        maxsize=AHEAD - 1 + workers
    )
    closed = threading.Event()

    def offer(item: Future[Sequence[Batch]] | BaseException | None) -> None:
        while not closed.is_set():
            with suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return

    def submit() -> None:
        try:
            for each in steps():
                if closed.is_set():
                    return
                offer(pool.submit(make, each))
            offer(None)
        except BaseException as error:  # noqa: BLE001 - raised again by the reader
            offer(error)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="batches")
    thread = threading.Thread(target=submit, name="steps", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item.result()
    finally:
        closed.set()
        thread.join()
        pool.shutdown(cancel_futures=True)
