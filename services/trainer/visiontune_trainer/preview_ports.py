"""What previews of training examples need from outside; `adapters.preview` implements it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from visiontune_recipes.spec import Base, Spec

from visiontune_trainer.ports import Manifest, SignedFiles


@dataclass(frozen=True, slots=True)
class Preview:
    """Examples to show. rows: which; empty for the first `count` in the order of the training."""

    spec: Spec  # resolved
    manifest: Manifest
    model_files: Sequence[SignedFiles]  # of registered models, without their weights
    adapter_base: Base | None  # what the first of model_files sits on, when it is an adapter
    resume_from: SignedFiles | None = None  # the processor in the checkpoint that a preset goes on from
    rows: Sequence[int] = ()
    count: int = 0


@dataclass(frozen=True, slots=True)
class ShownInput:
    """How many tokens an input of the model has, and how many are past what may be read."""

    tokens: int
    excess_image_tokens: int
    excess_trained_tokens: int


@dataclass(frozen=True, slots=True)
class ShownExample:
    """An example, as far as it is checked. inputs: none when it cannot be read."""

    name: str
    id: str
    inputs: tuple[ShownInput, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """What a model is given. message: a serialised PreviewTrainingExamplesResponse, passed on unread."""

    max_length: int
    examples: tuple[ShownExample, ...]
    message: bytes


class Previewer(Protocol):
    """Encodes examples as the training does, where torch runs."""

    async def show(self, preview: Preview) -> Shown:
        """Raises PreviewNotInstalled, PreviewRefused, HelperFailed, HelperBusy, and what channels raise."""
