"""What loop and evaluation need from an objective. A new one is a module and a line in the table."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Protocol, Self, TypeVar

import torch
from PIL import Image
from torch import Tensor

from visiontune_worker.build import Built
from visiontune_worker.faults import DataFault
from visiontune_worker.ranks import Ranks
from visiontune_worker.shards import Example

# What becomes of a picture before the processor has it: picture, its example, its place in that.
Change = Callable[[Image.Image, Example, int], Image.Image]

Scaled = Callable[[Tensor], Tensor]

# Keyword arguments of a model; the first axis of each counts texts, pictures or what they are made of.
Inputs = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One example, ready to be put into a batch.

    text: what goes along the text, `input_ids` among it, first axis the length, image tokens expanded.
    vision: all other inputs of the model, as the processor makes them of this example alone.
    """

    name: str
    text: Mapping[str, Tensor]
    vision: Mapping[str, Tensor]
    prompt: str  # what is asked, image places as `<image>`; shown beside what the model answers
    expected: str  # what would be right

    @property
    def input_ids(self) -> Tensor:
        """int64 [length]."""
        return self.text["input_ids"]

    @property
    def length(self) -> int:
        """Tokens of it, image tokens among them."""
        return len(self.input_ids)

    @property
    def size_bytes(self) -> int:
        """Memory that it holds."""
        return sum(each.nbytes for each in (*self.text.values(), *self.vision.values()))

    def views(self) -> Sequence[Inputs]:
        """What the model is given at a time when it looks at pictures: here all with the text, else none."""
        text = {name: each[None] for name, each in self.text.items()}
        return [{**text, **self.vision}] if self.vision else []

    def with_views(self, views: Sequence[Inputs]) -> Self:
        """The same with other pictures in the views."""
        vision = {name: each for view in views for name, each in view.items() if name not in self.text}
        return replace(self, vision=vision)

    def seen_in_views(self, example: Example) -> Sequence[Sequence[bytes]]:
        """The images, as the example holds them, that each view is of."""
        return [example.images]


class InputKind(StrEnum):
    """What an input of the model is; named as in visiontune.trainer.v1.ModelInput.Kind without the prefix."""

    CONVERSATION = "CONVERSATION"
    CHOSEN = "CHOSEN"
    REJECTED = "REJECTED"
    TEXT = "TEXT"
    IMAGE = "IMAGE"
    NEGATIVE = "NEGATIVE"
    MASKED_TEXT = "MASKED_TEXT"


@dataclass(frozen=True, slots=True)
class ModelInput:
    """What a model is given of an example, for people to look at.

    input_ids: int64 [length], and trained: bool [length], those on which the loss is taken; both None for an
    image without tokens. pictures: which of the example's images, negatives behind them.
    """

    kind: InputKind
    input_ids: Tensor | None
    trained: Tensor | None = None
    vision: Mapping[str, Tensor] = field(default_factory=dict)
    pictures: slice = field(default_factory=lambda: slice(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """inputs: keyword arguments of the model. weight: of how many tokens, or pairs, the loss is a sum.

    encoded: what it was made of, so that smaller ones can be made where memory does not suffice for it.
    """

    inputs: Mapping[str, Tensor]
    weight: int
    padded_tokens: int
    examples: int
    encoded: Sequence[Encoded]

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        if device.type == "cpu":
            return self
        inputs = {name: each.to(device, non_blocking=True) for name, each in self.inputs.items()}
        others: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        others |= {name: each.to(device) for name, each in others.items() if isinstance(each, Tensor)}
        return type(self)(**{**others, "inputs": inputs})


@dataclass(frozen=True, slots=True)
class Loss:
    """summed: float32 scalar with a gradient, a sum over the batch's weight. counts: sums worth a metric."""

    summed: Tensor
    counts: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Result:
    """metrics: those of the objective's row in recipes. answers: what the model said, by example, or none."""

    metrics: Mapping[str, float]
    answers: Mapping[str, str]


E = TypeVar("E", bound=Encoded)
B = TypeVar("B", bound=Batch)


class Objective(Protocol[E, B]):
    """What a training minimises, and how a model is measured. Made of a built model and its spec.

    The loop divides the sum of a step's losses by the sum of their weights, over all passes of all ranks, so
    that neither accumulation nor the number of ranks changes the gradient. An objective that compares the
    examples of a step with each other (`couples_examples` in recipes) has its own `backward` to that end.
    """

    # The processes that train together.
    ranks: Ranks = Ranks()
    # False: an example that is too long is encoded all the same, for people to look at.
    checks_length: bool = True

    @property
    def longest(self) -> int:
        """Tokens of an example, or of a text or an image where these are compared, at most."""

    def encode(self, examples: Sequence[Example], change: Change | None = None) -> list[E]:
        """Examples as tensors. DataFault names one that cannot be trained on.

        What an example becomes does not depend on its company. change: keeps a picture's size.
        """

    def seen(self, encoded: E, epoch: int) -> E:
        """An example as an epoch sees it; the same in all, unless an objective draws something of it."""
        return encoded

    def model_inputs(self, encoded: E) -> Sequence[ModelInput]:
        """What the model is given of an example, as `seen`."""

    def collate(self, encoded: Sequence[E]) -> B:
        """A batch for training."""

    def loss(self, model: torch.nn.Module, batch: B) -> Loss:
        """A forward pass, on the device of the batch."""

    def backward(
        self, built: Built, batches: Sequence[B], weight: int, scaled: Scaled = lambda loss: loss
    ) -> Tensor:
        """Leaves in `.grad` a rank's part of the gradient of a step; returns its part of the loss.

        batches: the passes of this rank, perhaps none. weight: of all passes of all ranks. scaled: makes a
        loss larger, and so the gradients, where small ones would be lost; what is returned is not.
        """
        total = torch.zeros((), device=built.device)
        for batch in batches:
            with built.autocast():
                found = self.loss(built.model, batch.to(built.device))
            loss = found.summed / max(1, weight)
            scaled(loss).backward()  # type: ignore[no-untyped-call]  # torch's backward is not annotated
            total += loss.detach()
        return total

    def after_step(self) -> None:
        """Mends what has to hold after each change of the weights; by default nothing has to."""
        return

    def measure(self, model: torch.nn.Module, batches: Iterable[Sequence[E]]) -> Mapping[str, Any]:
        """What a rank finds on its part of the held-out examples, as JSON; called in inference mode.

        batches: may be gone through several times.
        """

    def result(self, parts: Sequence[Mapping[str, Any]]) -> Result:
        """What all ranks' parts, in their order, amount to."""


def too_long(example: Example, tokens: int, longest: int) -> DataFault:
    """Nothing is ever cut: an answer would be learnt without its end, an image without its places."""
    return DataFault(
        "EXAMPLE_TOO_LONG",
        f"Example {example.id!r} has {tokens:,} tokens, images included; {longest:,} are allowed by "
        f"hyperparameters.max_length, or by the model. Set max_length to {tokens} or more where the model "
        "takes that, shorten the example, or use fewer or smaller images.",
    )
