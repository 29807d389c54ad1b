"""The steps themselves. See docs/decisions/0003 for why this is not `transformers.Trainer`."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from visiontune_recipes.spec import Hyperparameters, Schedule

from visiontune_worker import schedule
from visiontune_worker.build import Built
from visiontune_worker.faults import ConfigurationFault, EnvironmentFault
from visiontune_worker.objectives.objective import Batch, Objective
from visiontune_worker.order import Order
from visiontune_worker.ranks import Ranks

# Points measured are read back and told at most this often: reading waits for the device.
TELL_EVERY_S = 0.5
# Points of a whole job: a longer one is told every so many steps.
MOST_POINTS = 5000


class Measured(NamedTuple):
    """A step of all ranks: its mean loss, the gradient's norm before clipping, and its size."""

    loss: Tensor
    norm: Tensor
    examples: int
    padded_tokens: int


@dataclass(slots=True)
class Training:
    """A training under way: everything that a checkpoint has to hold, and how far it is."""

    built: Built
    objective: Objective[Any, Any]
    numbers: Hyperparameters
    order: Order
    total_steps: int
    ranks: Ranks = field(default_factory=Ranks)
    step: int = 0
    parameters: list[torch.nn.Parameter] = field(default_factory=list)
    optimiser: torch.optim.AdamW = field(init=False)

    def __post_init__(self) -> None:
        trainable = self.built.trainable()
        self.parameters = list(trainable.values())
        self.optimiser = schedule.optimiser(trainable, self.numbers)

    @property
    def epoch(self) -> float:
        """Epochs done, with the part of the current one."""
        return self.order.epoch_at(self.step)

    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return (self.numbers.learning_rate or 0.0) * schedule.factor(
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
        weight, examples, padded_tokens = self.ranks.totals(
            sum(each.weight for each in batches),
            sum(each.examples for each in batches),
            sum(each.padded_tokens for each in batches),
        )
        torch.manual_seed(seed_of_step(self.order.seed, self.step, self.ranks.rank))
        rate = self.learning_rate()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        total = torch.zeros((), device=self.built.device)
        for batch in batches:
            with self.built.autocast():
                found = self.objective.loss(self.built.model, batch.to(self.built.device))
            loss = found.summed / max(1, weight)
            loss.backward()  # type: ignore[no-untyped-call]  # torch's backward is not annotated
            total += loss.detach()
        self.ranks.sum_gradients(self.parameters, total)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.numbers.max_grad_norm or 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.objective.after_step(self.built.model)
        self.step += 1
        return Measured(total, norm, examples, padded_tokens)


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


@dataclass(slots=True)
class Meter:
    """Measures a training without making the device wait: values are read back when they are told."""

    training: Training
    tell: Callable[[Sequence[Point]], None]
    _waiting: list[tuple[int, float, float, Tensor, Tensor]] = field(default_factory=list)
    _told_at: float = field(default_factory=time.monotonic)
    _examples: int = 0
    _tokens: int = 0

    def add(self, rate: float, measured: Measured) -> None:
        """Notes a step that was just made. Rank 0 speaks for all."""
        if not self.training.ranks.leads:
            return
        self._examples += measured.examples
        self._tokens += measured.padded_tokens
        every = max(1, self.training.total_steps // MOST_POINTS)
        if self.training.step % every == 0:
            self._waiting.append(
                (self.training.step, self.training.epoch, rate, measured.loss, measured.norm)
            )
        if time.monotonic() - self._told_at >= TELL_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Tells what is waiting. ConfigurationFault when a loss is not a finite number."""
        points = [
            Point(step, epoch, {"loss": loss.item(), "learning_rate": rate, "grad_norm": norm.item()})
            for step, epoch, rate, loss, norm in self._waiting
        ]
        self._waiting.clear()
        for point in points:
            if not abs(point.values["loss"]) < float("inf"):
                raise ConfigurationFault(
                    "LOSS_NOT_FINITE",
                    f"The loss of step {point.step} is not a number any more. Lower the learning rate.",
                )
        if points:
            points[-1].values.update(self._speed())
            self.tell(points)

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
    after_step: Callable[[], None],
) -> None:
    """Trains until the batches end. `after_step` may raise to stop at the boundary of a step."""
    training.built.train()
    try:
        for each in batches:
            rate = training.learning_rate()
            meter.add(rate, training.advance(each))
            after_step()
        meter.flush()
    except torch.OutOfMemoryError as error:
        raise EnvironmentFault(
            "OUT_OF_MEMORY",
            f"The accelerator's memory does not suffice at step {training.step + 1}. Lower batch_size and "
            "raise gradient_accumulation_steps, or take a larger accelerator.",
        ) from error


def _memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - a pseudo file, read often
        return int(statm.read().split()[1]) * 4096
