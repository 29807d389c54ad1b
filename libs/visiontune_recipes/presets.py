"""The presets of all families by name. What one is, and each of them, is in `families`."""

from collections.abc import Mapping
from types import MappingProxyType

from visiontune_recipes.families import FAMILIES
from visiontune_recipes.families.preset import Preset

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {preset.name: preset for family in FAMILIES.values() for preset in family.presets}
)

__all__ = ["PRESETS", "Preset"]
