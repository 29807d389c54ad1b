"""What this installation can train: families and presets that the operator has not switched off."""

from visiontune_recipes.facts import Kind
from visiontune_recipes.families import FAMILIES, Family
from visiontune_recipes.presets import PRESETS, Preset

from visiontune_trainer.use_cases.deps import Deps

IMAGE_KINDS = frozenset(Kind) - {Kind.CHAT}


def families(deps: Deps) -> list[Family]:
    """Returns the families by name."""
    return [FAMILIES[name] for name in sorted(FAMILIES) if _is_on(FAMILIES[name], deps)]


def presets_after(name: str, deps: Deps) -> list[Preset]:
    """Returns the presets by name, after that name."""
    return [
        PRESETS[each]
        for each in sorted(PRESETS)
        if each > name and _is_on(FAMILIES[PRESETS[each].family], deps)
    ]


def _is_on(family: Family, deps: Deps) -> bool:
    return deps.vision_enabled or not IMAGE_KINDS & set(family.takes)
