"""A frozen vision tower that need not run: what its projector was given of an image is given again.

All else is the model's own way from pictures to tokens, with its tiles, windows, videos and lines. Only the
modules of the tower answer without computing, by tensors of the right shape in which nothing stands, and
what the projector is given of them is exchanged. So it may train.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map
from transformers import __version__ as transformers_version

from visiontune_worker import modules
from visiontune_worker.build import Built

# What of a vision input's name tells that the tower alone reads it.
_PIXEL = "pixel"
# Before a picture's own name, and behind it the number of the call of a projector: what that was given.
FEATURES = "features."


class _Enough(Exception):  # noqa: N818 - not an error: the language model would begin
    pass


class _Now(threading.local):
    """What a thread does with the model. Another one may be training meanwhile."""

    given: list[Tensor] | None = None  # what projectors are given, while it is written down
    answers: Iterator[Tensor] | None = None  # what they shall be given, in the order of their calls


def pictures(vision: Mapping[str, Tensor]) -> list[str]:
    """Names of the vision inputs that are pictures, images before videos, as models look at them."""
    return sorted(
        name for name, each in without_features(vision).items() if _PIXEL in name and each.is_floating_point()
    )


def without_features(vision: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Vision inputs without what the tower makes of pictures."""
    return {name: each for name, each in vision.items() if not name.startswith(FEATURES)}


class Tower:
    """The vision tower of a built model whose family says before what its features are kept."""

    def __init__(self, built: Built) -> None:
        self._built = built
        self._now = _Now()
        # Of each module of the tower what it made of a picture: one row, of memory for a single number.
        self._outputs: dict[str, Any] = {}
        # By picture input: the axes that only the tower looks at.
        self._sizes: dict[str, Sequence[int]] = {}
        model = built.model
        for name in _roots(built, "vision_tower"):
            self._spare(name, model.get_submodule(name))
        for name, module in model.named_modules():
            if re.fullmatch(built.family.features_before, name):
                module.register_forward_pre_hook(self._at_projector)
        for name in _roots(built, "language_model"):
            model.get_submodule(name).register_forward_pre_hook(self._at_language_model)

    def of(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What projectors are given of the pictures among a model's inputs, on the CPU, by name.

        inputs: of one example, since company would change last digits; without a text where the model looks
        at pictures by themselves.
        """
        found: dict[str, Tensor] = {}
        for name in pictures(inputs):
            others = set(pictures(inputs)) - {name}
            given = self._run({other: each for other, each in inputs.items() if other not in others})
            if self._built.family.features_by_tile:
                given = [each.reshape(*inputs[name].shape[:2], *each.shape[1:]) for each in given]
            found |= {f"{FEATURES}{name}.{call:02}": each for call, each in enumerate(given)}
            self._sizes[name] = inputs[name].shape[_leading(inputs[name]) :]
        return found

    def knows(self, inputs: Mapping[str, Tensor]) -> bool:
        """Whether the tower has run for every input of pictures here, without which it cannot be spared."""
        return all(name in self._sizes for name in pictures(inputs))

    @contextmanager
    def given_to_model(self, inputs: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
        """A batch's inputs as the model takes them; within, the tower is spared if there are features."""
        given = without_features(inputs)
        answers = [inputs[name] for name in sorted(inputs.keys() - given.keys())]
        if not answers:
            yield given
            return
        for name in pictures(given):
            marks, size = given[name], self._sizes[name]
            given[name] = marks.reshape(*marks.shape, *(1 for _ in size)).expand(*marks.shape, *size)
        self._now.answers = iter(answers)
        try:
            yield given
        finally:
            self._now.answers = None

    def digest(self) -> str:
        """Of all that features depend on besides the image: weights, processor, libraries, number format."""
        built = self._built
        found = hashlib.sha256()
        for name, each in sorted(built.model.state_dict().items()):
            if built.family.parts.part_of(name) == "vision_tower":
                found.update(f"{name} {each.dtype} {tuple(each.shape)}".encode())
                found.update(each.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        about = {
            "layout": 2,  # of what is kept
            "processor": getattr(built.processor, "image_processor", built.processor).to_dict(),
            "family": built.family.name,
            "precision": built.precision,
            "versions": [torch.__version__, transformers_version],
            "device": built.device.type,
        }
        found.update(json.dumps(about, sort_keys=True, default=str).encode())
        return found.hexdigest()

    def _run(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        moved = {name: each.to(self._built.device) for name, each in inputs.items()}
        model = self._built.model
        given: list[Tensor] = []
        self._now.given = given
        try:
            # Also for held-out examples by tensors that training can take.
            with torch.inference_mode(mode=False), torch.no_grad(), self._built.autocast():
                if "input_ids" in moved:
                    model(**moved, use_cache=False)
                else:
                    model.get_image_features(**moved)
        except _Enough:
            pass
        finally:
            self._now.given = None
        return given

    def _spare(self, name: str, module: torch.nn.Module) -> None:
        live = module.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            if self._now.answers is None:
                made = live(*args, **kwargs)
                if self._now.given is not None:
                    self._outputs[name] = tree_map(_one_row, made)
                return made
            rows = next(len(each) for each in (*args, *kwargs.values()) if isinstance(each, Tensor))
            return tree_map(lambda each: _rows(each, rows), self._outputs[name])

        module.forward = forward

    def _at_projector(self, _module: torch.nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self._now.given is not None:
            self._now.given.append(args[0].cpu().contiguous())
        if self._now.answers is None:
            return None
        answer = next(self._now.answers)
        return (answer.flatten(0, 1) if self._built.family.features_by_tile else answer, *args[1:])

    def _at_language_model(self, _module: torch.nn.Module, _args: tuple[Any, ...]) -> None:
        if self._now.given is not None:
            raise _Enough


def in_place_of_pictures(vision: Mapping[str, Tensor], features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Vision inputs with features; of pictures stays where there are any, as tiles that fill up are none."""
    marks = {}
    for name in pictures(vision):
        leading = _leading(vision[name])
        marks[name] = vision[name].flatten(leading).ne(0).any(-1).to(vision[name].dtype)
    return {**{name: each for name, each in vision.items() if _PIXEL not in name}, **marks, **features}


def _roots(built: Built, part: str) -> list[str]:
    """The outermost modules of a part. Not tables: what is asked of them is made in many ways, and cheap."""
    found = modules.roots(built.model, built.family.parts, frozenset({part}))
    return [name for name in found if not isinstance(built.model.get_submodule(name), torch.nn.Embedding)]


def _leading(picture: Tensor) -> int:
    """How many axes of a picture input count pictures, tiles, frames or patches, and not what is in them."""
    return picture.ndim - (3 if picture.ndim > 3 else 1)


def _one_row(made: Any) -> Any:
    return made.new_zeros(()).expand(1, *made.shape[1:]) if isinstance(made, Tensor) else made


def _rows(made: Any, count: int) -> Any:
    return made.expand(count, *made.shape[1:]) if isinstance(made, Tensor) else made
