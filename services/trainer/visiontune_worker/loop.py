"""The steps themselves. See docs/decisions/0003 for why this is not `transformers.Trainer`."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from visiontune_recipes.objectives import OBJECTIVES
from visiontune_recipes.spec import Hyperparameters, Precision, Schedule

from visiontune_worker import optimisers, schedule, sharding, shortage
from visiontune_worker.build import Built
from visiontune_worker.faults import ConfigurationFault, EnvironmentFault
from visiontune_worker.notices import Notices
from visiontune_worker.objectives.objective import Batch, Objective
from visiontune_worker.order import Order
from visiontune_worker.ranks import Ranks
from visiontune_worker.sharding import Touch
from visiontune_worker.shortage import Shortage
from visiontune_worker.standing import Standing

# Points measured are read back and told at most this often: reading waits for the device.
TELL_EVERY_S = 0.5
# Points of a whole job: a longer one is told every so many steps.
MOST_POINTS = 5000
# Examples named when the loss of their step is no number.
MOST_IDS = 50


class Measured(NamedTuple):
    """A step of all ranks: its mean loss, the gradient's norm before clipping, and its size."""

    loss: Tensor
    norm: Tensor
    examples: int
    padded_tokens: int


@dataclass(slots=True)
class Training:
    """A training under way: everything that a checkpoint has to hold, and how far it is.

    most_examples: of a pass, since memory did not suffice for more. None: as many as it is given.
    """

    built: Built
    objective: Objective[Any, Any]
    numbers: Hyperparameters
    order: Order
    total_steps: int
    ranks: Ranks = field(default_factory=Ranks)
    notices: Notices = field(default_factory=Notices)
    step: int = 0
    most_examples: int | None = None
    data_start_step: int = 0  # at which the passes over the data begin
    standing: Standing = field(default_factory=Standing)
    parameters: list[torch.nn.Parameter] = field(default_factory=list)
    optimiser: torch.optim.Optimizer = field(init=False)
    scaler: torch.amp.GradScaler = field(init=False)
    # Where the model is sharded: a batch of a few examples, for passes that other ranks have alone.
    spare: Callable[[], Batch] = field(init=False)
    touch: Touch = field(init=False)

    def __post_init__(self) -> None:
        trainable = self.built.trainable()
        self.parameters = list(trainable.values())
        self.optimiser = optimisers.optimiser(trainable, self.numbers, self.built.family.parts.part_of)
        # Of float16 alone: small gradients would be 0 in it. Switched off it does nothing.
        self.scaler = torch.amp.GradScaler(
            self.built.device.type, enabled=self.built.precision is Precision.FP16
        )
        if self.built.sharded:
            self.touch = Touch(self.built)

    @property
    def epoch(self) -> float:
        """Epochs done, with the part of the current one."""
        return self.order.epoch_at(self.step - self.data_start_step)

    def learning_rate(self) -> float:
        """Learning rate of the next step; parts may have others."""
        return (self.numbers.learning_rate or 0.0) * self._factor()

    def _factor(self) -> float:
        return schedule.factor(
            self.step,
            total_steps=self.total_steps,
            warmup_ratio=self.numbers.warmup_ratio or 0.0,
            schedule=self.numbers.schedule or Schedule.LINEAR,
        )

    def advance(self, batches: Sequence[Batch]) -> Measured:
        """One optimiser step; batches are this rank's part of it, perhaps none.

        The mean is over the weight of all passes of all ranks together, so that neither accumulation nor the
        number of ranks changes the gradient.
        """
        (weight, examples, padded_tokens), passes = self._meet(batches)
        factor = self._factor()
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * factor
        if self.built.sharded:
            total = self._backward_together(batches, weight, passes)
            self.ranks.sum_gradients([], total)
        else:
            total = self._backward(batches, weight)
            self.ranks.sum_gradients(self.parameters, total)
        self.scaler.unscale_(self.optimiser)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.numbers.max_grad_norm or 1.0)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        self.objective.after_step()
        self.step += 1
        return Measured(total, sharding.whole(norm), examples, padded_tokens)

    def deliver_notices(self) -> None:
        """Has rank 0 hear what any rank has to say; all ranks call it."""
        self._meet([])

    def _meet(self, batches: Sequence[Batch]) -> tuple[list[int], list[list[bool]]]:
        """Of a step: weight, examples and tokens of all ranks, and which of each rank's passes have images.

        Rank 0 hears what the others have to say.
        """
        ours = [
            sum(each.weight for each in batches),
            sum(each.examples for each in batches),
            sum(each.padded_tokens for each in batches),
        ]
        images = [any(each.vision for each in batch.encoded) for batch in batches]
        parts = self.ranks.exchange([ours, images, self.notices.untold()])
        for rank, (_, _, told) in enumerate(parts):
            self.notices.hear(told, rank)
        totals = [sum(each) for each in zip(*(sizes for sizes, _, _ in parts), strict=True)]
        return totals, [images for _, images, _ in parts]

    def _backward(self, batches: Sequence[Batch], weight: int) -> Tensor:
        """Gradients and loss of our passes; in smaller passes where memory does not suffice for them.

        The sums are the same whatever the passes are. EnvironmentFault when a single example is too much.
        """
        while True:
            passes = [piece for batch in batches for piece in self._pieces(batch)]
            torch.manual_seed(seed_of_step(self.order.seed, self.step, self.ranks.rank))
            try:
                return self.objective.backward(self.built, passes, weight, self.scaler.scale)
            except RuntimeError as error:
                if not shortage.is_shortage(error):
                    raise
                largest = max((each.examples, each.padded_tokens) for each in passes)
                short = shortage.measure(error, self.built.device, largest)
            # Here, where nothing refers to the failed pass any more.
            self.optimiser.zero_grad(set_to_none=True)
            self._make_smaller(short)

    def _backward_together(
        self, batches: Sequence[Batch], weight: int, passes: Sequence[Sequence[bool]]
    ) -> Tensor:
        """As `_backward`, where all ranks have to make the same passes: who has none makes one for nothing.

        Memory that does not suffice ends the attempt, since the others would not try again.
        """
        torch.manual_seed(seed_of_step(self.order.seed, self.step, self.ranks.rank))
        total = torch.zeros((), device=self.built.device)
        for number in range(max(map(len, passes))):
            self.touch.on = any(images[number] for images in passes if number < len(images))
            if number < len(batches):
                total += self.objective.backward(self.built, batches[number:][:1], weight, self.scaler.scale)
            else:
                self.objective.backward(self.built, [self.spare()], weight, lambda loss: 0 * loss)
        return total

    def _pieces(self, batch: Batch) -> Sequence[Batch]:
        most = self.most_examples
        if most is None or batch.examples <= most:
            return [batch]
        return [
            self.objective.collate(batch.encoded[start : start + most])
            for start in range(0, batch.examples, most)
        ]

    def _make_smaller(self, short: Shortage) -> None:
        most = shortage.smaller(short.shape[0])
        # Where ranks compare their examples the others wait inside of the step, and would not begin it anew.
        couples = OBJECTIVES[self.built.family.objective].couples_examples and self.ranks.count > 1
        if most is None or couples:
            raise EnvironmentFault("OUT_OF_MEMORY", f"At step {self.step + 1}: {short} {shortage.REMEDY}")
        self.most_examples = most
        if self.built.device.type == "cuda":
            torch.cuda.empty_cache()
        self.notices.tell(
            "MEMORY_SHORT",
            f"At step {self.step + 1}: {short} From here on a pass has {most} example(s) at most, and "
            "more of them make up the same step.",
        )


def seed_of_step(seed: int, step: int, rank: int) -> int:
    """What dropout draws from: a function of these alone, so that resuming needs no memory of it.

    Ranks draw differently. On another number of ranks the draws are others, of the same distribution.
    """
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0])


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured at a step."""

    step: int
    epoch: float
    values: dict[str, float]


class _Waiting(NamedTuple):
    step: int
    epoch: float
    rate: float
    loss: Tensor
    norm: Tensor

    def point(self, loss: float, norm: float) -> Point:
        return Point(self.step, self.epoch, {"loss": loss, "learning_rate": self.rate, "grad_norm": norm})


@dataclass(slots=True)
class Meter:
    """Measures a training without making the device wait: values are read back when they are told."""

    training: Training
    tell: Callable[[Sequence[Point]], None]
    # The ids of a step's examples, for when its loss is no number.
    ids_at: Callable[[int], Sequence[str]] = lambda _step: ()
    _waiting: list[_Waiting] = field(default_factory=list)
    _told_at: float = field(default_factory=time.monotonic)
    _examples: int = 0
    _tokens: int = 0

    def add(self, rate: float, measured: Measured) -> None:
        """Notes a step that was just made. Rank 0 speaks for all."""
        if not self.training.ranks.leads:
            return
        self._examples += measured.examples
        self._tokens += measured.padded_tokens
        # A step without a good example has no loss.
        if measured.examples:
            training = self.training
            self._waiting.append(_Waiting(training.step, training.epoch, rate, measured.loss, measured.norm))
        if time.monotonic() - self._told_at >= TELL_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Tells what is waiting. ConfigurationFault, naming examples, when a loss is not a finite number."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        values = torch.stack([torch.stack([each.loss, each.norm]).float() for each in waiting]).tolist()
        points = [each.point(*found) for each, found in zip(waiting, values, strict=True)]
        for point in points:
            if not math.isfinite(point.values["loss"]):
                raise self._not_finite(point.step)
        every = max(1, self.training.total_steps // MOST_POINTS)
        if told := [each for each in points if each.step % every == 0]:
            told[-1].values.update(self._speed(), **self._trouble())
            self.tell(told)

    def _not_finite(self, step: int) -> ConfigurationFault:
        ids = self.ids_at(step - 1)
        shown = ", ".join(map(repr, ids[:MOST_IDS])) + (
            f" and {len(ids) - MOST_IDS} more" if len(ids) > MOST_IDS else ""
        )
        return ConfigurationFault(
            "LOSS_NOT_FINITE",
            f"The loss of step {step} is not a number any more. Its examples: {shown or 'unknown'}. "
            "Look at them, or lower the learning rate.",
        )

    def _trouble(self) -> dict[str, float]:
        found = {
            "skipped_examples": self.training.notices.skipped,
            "pass_examples": self.training.most_examples,
        }
        return {name: float(value) for name, value in found.items() if value}

    def pause(self) -> None:
        """Begins the measuring of speed anew, after something that is not training."""
        self._told_at, self._examples, self._tokens = time.monotonic(), 0, 0

    def _speed(self) -> dict[str, float]:
        now = time.monotonic()
        took = max(now - self._told_at, 1e-9)
        speed = {
            "samples_per_second": self._examples / took,
            "tokens_per_second": self._tokens / took,
            "memory_bytes": float(_memory_bytes(self.training.built.device)),
        }
        self._told_at, self._examples, self._tokens = now, 0, 0
        return speed


def run(
    training: Training,
    batches: Iterator[Sequence[Batch]],
    *,
    meter: Meter,
    after_step: Callable[[], bool | None],
) -> None:
    """Trains until the batches end. `after_step` may stop it after a step: by returning True, or raising."""
    training.built.train()
    try:
        for each in batches:
            rate = training.learning_rate()
            meter.add(rate, training.advance(each))
            if after_step():
                break
        meter.flush()
    except RuntimeError as error:
        if not shortage.is_shortage(error):
            raise
        # Outside of the passes: what the optimiser keeps of each weight, or what the ranks add up.
        short = shortage.measure(error, training.built.device, (0, 0))
        raise EnvironmentFault(
            "OUT_OF_MEMORY", f"At step {training.step + 1}: {short} {shortage.REMEDY}"
        ) from error


def _memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - a pseudo file, read often
        return int(statm.read().split()[1]) * 4096
