"""What the system has to know about a family of models. A family is a value and imports no torch."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import MappingProxyType

from visiontune_recipes.facts import Kind
from visiontune_recipes.spec import Method

ENTRY_POINT_GROUP = "visiontune.families"


@dataclass(frozen=True, slots=True)
class Parts:
    """Regular expressions over full module names, matched at the start: where each part of the model is."""

    vision_tower: str
    projector: str
    language_model: str

    def part_of(self, name: str) -> str | None:
        """Name of the part that a module or parameter belongs to; None when it belongs to none."""
        found = (part for part in self.__slots__ if re.match(getattr(self, part), name))
        return next(found, None)


@dataclass(frozen=True, slots=True)
class LoraTargets:
    """For each part the modules that get low-rank adapters (matched in full), or that train whole."""

    vision_tower: str
    language_model: str
    projector_modules: tuple[str, ...]  # saved whole beside the adapter: peft's `modules_to_save`


@dataclass(frozen=True, slots=True)
class Family:
    """One family of models."""

    name: str
    description: str
    model_types: tuple[str, ...]  # `model_type` in config.json
    model_class: str  # module:class
    processor_class: str  # module:class
    objective: str  # a key of OBJECTIVES
    takes: tuple[Kind, ...]
    parts: Parts
    lora: LoraTargets
    methods: tuple[Method, ...]
    # Used when the model's own template does not mark what the assistant says, stop token included.
    chat_template: str


def table(*families: Family) -> Mapping[str, Family]:
    """Families by name: those given, then those of installed packages. ValueError when one occurs twice."""
    rows: dict[str, Family] = {}
    for family in (*families, *_installed()):
        if family.name in rows:
            raise ValueError(f"two model families are called {family.name}")
        rows[family.name] = family
    return MappingProxyType(rows)


def _installed() -> Iterable[Family]:
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        family = entry.load()
        if not isinstance(family, Family):
            raise TypeError(f"entry point {entry.name} of {ENTRY_POINT_GROUP} is not a Family")
        yield family
