"""A policy of augmentation: what visiontune.trainer.v1.Augmentation says, without protobuf."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

from pydantic import Field

from visiontune_recipes.facts import Sense
from visiontune_recipes.message import Message, Unset
from visiontune_recipes.transforms import TRANSFORMS


class Preset(StrEnum):
    """Policies that have a name."""

    NONE = "PRESET_NONE"
    LIGHT = "PRESET_LIGHT"
    STANDARD = "PRESET_STANDARD"
    STRONG = "PRESET_STRONG"


class Transform(Message):
    """One change of a picture. Unset parameters have the defaults of the table."""

    name: str
    parameters: Mapping[str, float] = Field(default_factory=dict)


class Augmentation(Message):
    """What is done to pictures in training."""

    preset: Unset[Preset] = None
    transforms: tuple[Transform, ...] = ()
    allow_text_breaking: bool = False


def _transform(name: str, **parameters: float) -> Transform:
    return Transform(name=name, parameters=parameters)


PRESETS: Mapping[Preset, tuple[Transform, ...]] = MappingProxyType(
    {
        Preset.NONE: (),
        Preset.LIGHT: (
            _transform("ColorJitter", brightness=0.1, contrast=0.1, saturation=0.1),
            _transform("RandomAdjustSharpness", sharpness_factor=1.5),
        ),
        Preset.STANDARD: (
            _transform("RandomAffine", degrees=3, translate=0.02),
            _transform("ColorJitter", brightness=0.2, contrast=0.2, saturation=0.2),
            _transform("GaussianBlur", sigma_max=0.7, probability=0.1),
        ),
        Preset.STRONG: (
            _transform("RandomAffine", degrees=7, translate=0.05, scale_min=0.9, scale_max=1.1, shear=5),
            _transform("RandomPerspective", distortion_scale=0.15, probability=0.3),
            _transform("ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4),
            _transform("GaussianBlur", sigma_max=1.2, probability=0.2),
            _transform("JPEG", quality_min=40, probability=0.3),
        ),
    }
)


def resolve(asked: Augmentation | None) -> Augmentation | None:
    """The transforms that are applied, each with all its parameters; None when there are none.

    A name that the table does not have stays as it is, for `problems` to tell.
    """
    if asked is None:
        return None
    transforms = (*PRESETS[asked.preset or Preset.NONE], *asked.transforms)
    if not transforms:
        return None
    return Augmentation(
        transforms=tuple(map(_completed, transforms)), allow_text_breaking=asked.allow_text_breaking
    )


def breaking(transforms: Iterable[Transform]) -> Mapping[str, frozenset[Sense]]:
    """Names of the resolved transforms after which a text may no longer be true, and what in it."""
    found: dict[str, frozenset[Sense]] = {}
    for each in transforms:
        row = TRANSFORMS.get(each.name)
        if row is not None and row.parameters.keys() <= each.parameters.keys():
            found[each.name] = found.get(each.name, frozenset()) | row.broken_by(each.parameters)
    return {name: senses for name, senses in found.items() if senses}


def _completed(asked: Transform) -> Transform:
    row = TRANSFORMS.get(asked.name)
    if row is None:
        return asked
    defaults = {name: parameter.default for name, parameter in row.parameters.items()}
    return Transform(name=asked.name, parameters={**defaults, **asked.parameters})
