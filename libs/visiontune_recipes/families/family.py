"""What the system has to know about a family of models. A family is a value and imports no torch."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any

from visiontune_recipes.facts import Kind
from visiontune_recipes.families.preset import Preset
from visiontune_recipes.spec import PARTS, Adaptation, Method, Spec

ENTRY_POINT_GROUP = "visiontune.families"


@dataclass(frozen=True, slots=True)
class Parts:
    """Regular expressions over full module names, matched at the start: where each part of the model is.

    The first that matches decides. Empty where a family has no such part.
    """

    projector: str = ""
    vision_tower: str = ""
    language_model: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The parts that models of the family have."""
        return tuple(part for part in self.__slots__ if getattr(self, part))

    def part_of(self, name: str) -> str | None:
        """Name of the part that a module or parameter belongs to; None when it belongs to none."""
        return next((part for part in self.names if re.match(getattr(self, part), name)), None)


@dataclass(frozen=True, slots=True)
class LoraTargets:
    """For each part the modules that get low-rank adapters, matched in full; empty: none can have any.

    What trains whole beside adapters need not be named: it is all that belongs to the part.
    """

    vision_tower: str = ""
    projector: str = ""
    language_model: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """One family of models."""

    name: str
    description: str
    # `model_type` in config.json. Empty: all that no other family names and `model_class`, which chooses a
    # class by the config, knows.
    model_types: tuple[str, ...]
    model_class: str  # module:class
    processor_class: str  # module:class
    objective: str  # a key of OBJECTIVES
    takes: tuple[Kind, ...]
    parts: Parts
    lora: LoraTargets
    methods: tuple[Method, ...]
    # Used where the model's own template does not tell what the assistant says, stop token included. It marks
    # that. Empty: a model without a template that tells is refused.
    chat_template: str = ""
    # The class of its processor saves its template and does not read it again; the tokenizer does.
    forgets_template: bool = False
    presets: tuple[Preset, ...] = ()
    # Every input of the vision tower has one place an image on its first axis, and images of any number of
    # examples have one shape: examples are encoded together, which is faster.
    one_place_an_image: bool = False
    # A video is given as exactly so many frames, evenly chosen or repeated; 0: as those that it has.
    video_frames: int = 0
    # Several examples can stand in one row and not see each other.
    packs: bool = False
    # A regular expression, matched in full, of the modules, as a rule the projector, whose first arguments
    # are all that comes of the vision tower. Empty: no features are kept.
    features_before: str = ""
    # Those have a row for each tile of a batch, also for tiles that only fill up pictures which have fewer.
    features_by_tile: bool = False
    # Every text is filled up to the longest that the model takes, and what fills it up is attended to.
    fills_texts: bool = False
    # Python that a loaded base model needs before peft takes it, for the model card of an adapter.
    load_lines: str = ""
    # Python that uses a result, for its model card; empty where that of the objective does.
    use_lines: str = ""
    # Losses that a job may ask for (`hyperparameters.losses`), the first of which it has unless it does.
    losses: tuple[str, ...] = ()
    # What has to be told to a model before it is adapted, and what a spec wants of its config.
    prepare: Callable[[Any, Spec], None] | None = None
    # Of a model's config: a regular expression, matched at the start, of weights that no step ever reaches.
    # They stay as they are; a weight without a gradient would be averaged, saved and counted for nothing.
    unused: Callable[[Any], str] | None = None
    # Of a processor and a conversation with its pictures: the inputs, a batch of one, and `assistant_masks`;
    # for a processor that no template can tell what is an answer. ValueError says what it does not take.
    encode: Callable[[Any, Sequence[Mapping[str, Any]]], Mapping[str, Any]] | None = None
    most_messages: int = 0  # of a conversation; 0: as many as there are
    # llama.cpp's convert_hf_to_gguf.py takes whole models of it.
    gguf: bool = False

    def own_targets(self, adaptation: Adaptation) -> str:
        """A regular expression, matched in full, of modules that get adapters where a job names none."""
        adapted = adaptation.adapted()
        return "|".join(filter(None, (getattr(self.lora, part) for part in PARTS if part in adapted)))

    def chooses_targets(self, adaptation: Adaptation) -> bool:
        """True when those are the ones of an adaptation, as asked or resolved."""
        named = adaptation.lora.target_modules if adaptation.lora else ""
        return named in {"", self.own_targets(adaptation)}


def table(*families: Family) -> Mapping[str, Family]:
    """Families by name: those given, then those of installed packages. ValueError when one occurs twice."""
    rows: dict[str, Family] = {}
    for family in (*families, *_installed()):
        if family.name in rows:
            raise ValueError(f"two model families are called {family.name}")
        rows[family.name] = family
        names = [preset.name for row in rows.values() for preset in row.presets]
        if len(names) != len(set(names)):
            raise ValueError(f"a preset of {family.name} is called like another one")
    return MappingProxyType(rows)


def _installed() -> Iterable[Family]:
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        family = entry.load()
        if not isinstance(family, Family):
            raise TypeError(f"entry point {entry.name} of {ENTRY_POINT_GROUP} is not a Family")
        yield family
