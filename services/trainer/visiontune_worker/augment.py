"""Varies pictures by a resolved policy, in training and in a preview of it.

What is drawn is a function of seed, epoch, the example's row and the picture's place in it: not of what was
drawn before, of the process, or of the number of ranks. Torch's own generator is left alone, since the
training, in another thread at the same time, draws its dropout from it.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch.overrides import TorchFunctionMode
from torchvision.transforms import InterpolationMode, v2
from visiontune_recipes.augmentation import Augmentation
from visiontune_recipes.facts import DatasetFacts
from visiontune_recipes.spec import Spec
from visiontune_recipes.transforms import PROBABILITY

from visiontune_worker.faults import ConfigurationFault

Values = Mapping[str, float]
Change = Any  # of torchvision, which has no types: a picture in, a picture out

_SMOOTH = InterpolationMode.BILINEAR
# Tells this seed from those of order and dropout, which come from the same number.
_STREAM = 0x617567
# Everything with which torchvision's transforms draw.
_DRAWS = frozenset({"rand", "randint", "randperm", "multinomial", "_sample_dirichlet", "uniform_", "normal_"})


class _Draws(TorchFunctionMode):
    """Within it this thread, and no other, draws from a generator of its own."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        more = {"generator": self._generator} if getattr(func, "__name__", "") in _DRAWS else {}
        return func(*args, **(kwargs or {}), **more)


class Augment:
    """A policy with the seed of its job. Raises ConfigurationFault for a transform that is not known here."""

    def __init__(self, policy: Augmentation, seed: int) -> None:
        self._seed = seed
        self._transforms = [(_maker(each.name), each.parameters) for each in policy.transforms]

    def __call__(self, picture: Image, *, epoch: int, row: int, index: int) -> Image:
        """The picture as training sees it in that epoch, of the same size.

        picture: RGB. row: of the example in its version, from 0. index: of the picture in the example.
        """
        with _Draws(seed_of(self._seed, epoch, row, index)):
            for make, values in self._transforms:
                if float(torch.rand(())) < values[PROBABILITY]:
                    picture = make(values, picture)(picture)
        return picture


def of(spec: Spec, facts: DatasetFacts) -> Augment | None:
    """What a resolved spec asks for; None when nothing is to be done."""
    if spec.augmentation is None or not facts.has_images:
        return None
    return Augment(spec.augmentation, spec.hyperparameters.seed or 0)


def seed_of(seed: int, epoch: int, row: int, index: int) -> int:
    """What the changes of one picture are drawn from."""
    sequence = np.random.SeedSequence(seed, spawn_key=(_STREAM, epoch, row, index))
    return int(sequence.generate_state(1, np.uint64)[0])


def _maker(name: str) -> Callable[[Values, Image], Change]:
    try:
        return MAKERS[name]
    except KeyError:
        raise ConfigurationFault(
            "UNKNOWN_TRANSFORM",
            f"This worker has no transform {name}. Run workers of the trainer's release.",
        ) from None


def _crop(values: Values, picture: Image) -> Change:
    own = picture.width / picture.height
    return v2.RandomResizedCrop(
        (picture.height, picture.width),
        scale=(values["scale_min"], values["scale_max"]),
        ratio=(own * values["ratio_min"], own * values["ratio_max"]),
        interpolation=_SMOOTH,
    )


def _affine(values: Values, _: Image) -> Change:
    return v2.RandomAffine(
        degrees=values["degrees"],
        translate=(values["translate"], values["translate"]),
        scale=(values["scale_min"], values["scale_max"]),
        shear=values["shear"],
        interpolation=_SMOOTH,
        fill=int(values["fill"]),
    )


def _blur(values: Values, picture: Image) -> Change:
    # Two standard deviations either way; torchvision mirrors what lies outside, so no more than there is.
    reach = min(math.ceil(2 * values["sigma_max"]), min(picture.size) - 1)
    return v2.GaussianBlur(2 * reach + 1, (values["sigma_min"], values["sigma_max"]))


MAKERS: Mapping[str, Callable[[Values, Image], Change]] = {
    "AugMix": lambda v, _: v2.AugMix(int(v["severity"]), int(v["mixture_width"]), alpha=v["alpha"]),
    "ColorJitter": lambda v, _: v2.ColorJitter(v["brightness"], v["contrast"], v["saturation"], v["hue"]),
    "GaussianBlur": _blur,
    "JPEG": lambda v, _: v2.JPEG((int(v["quality_min"]), int(v["quality_max"]))),
    "RandAugment": lambda v, _: v2.RandAugment(
        int(v["num_ops"]), int(v["magnitude"]), interpolation=_SMOOTH, fill=int(v["fill"])
    ),
    "RandomAdjustSharpness": lambda v, _: v2.RandomAdjustSharpness(v["sharpness_factor"], p=1),
    "RandomAffine": _affine,
    "RandomAutocontrast": lambda _v, _: v2.RandomAutocontrast(p=1),
    "RandomEqualize": lambda _v, _: v2.RandomEqualize(p=1),
    "RandomGrayscale": lambda _v, _: v2.RandomGrayscale(p=1),
    "RandomHorizontalFlip": lambda _v, _: v2.RandomHorizontalFlip(p=1),
    "RandomInvert": lambda _v, _: v2.RandomInvert(p=1),
    "RandomPerspective": lambda v, _: v2.RandomPerspective(
        v["distortion_scale"], p=1, interpolation=_SMOOTH, fill=int(v["fill"])
    ),
    "RandomPosterize": lambda v, _: v2.RandomPosterize(int(v["bits"]), p=1),
    "RandomResizedCrop": _crop,
    "RandomRotation": lambda v, _: v2.RandomRotation(
        v["degrees"], interpolation=_SMOOTH, fill=int(v["fill"])
    ),
    "RandomSolarize": lambda v, _: v2.RandomSolarize(v["threshold"], p=1),
    "RandomVerticalFlip": lambda _v, _: v2.RandomVerticalFlip(p=1),
    "TrivialAugmentWide": lambda v, _: v2.TrivialAugmentWide(interpolation=_SMOOTH, fill=int(v["fill"])),
}
